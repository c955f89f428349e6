# nvcc is called by itself, not through enable_language(CUDA): nothing here links CUDA, one file of device code is all
# that we want, and a machine without a working CUDA tool chain must still build the rest.
if(LSU_CUDA STREQUAL "OFF")
  message(STATUS "lsu: CUDA kernels are left out (LSU_CUDA=OFF)")
  return()
endif()
if(NOT LSU_CUDA MATCHES "^(AUTO|ON)$")
  message(FATAL_ERROR "LSU_CUDA is '${LSU_CUDA}'; AUTO, ON or OFF is allowed")
endif()
find_program(LSU_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
if(NOT LSU_NVCC)
  if(LSU_CUDA STREQUAL "ON")
    message(FATAL_ERROR "LSU_CUDA=ON needs nvcc, and none was found: put it on PATH, set CUDA_HOME, or pass "
                        "-DLSU_NVCC=/path/to/nvcc; LSU_CUDA=AUTO builds without it")
  endif()
  message(STATUS "lsu: no nvcc, so the CUDA kernels are left out")
  return()
endif()

set(LSU_CUDA_TARGETS "75;80;86;87;89;90;100;110;120" CACHE STRING
  "Compute capabilities to compile for; those that this nvcc does not know are left out")
execute_process(COMMAND "${LSU_NVCC}" --list-gpu-code OUTPUT_VARIABLE known_codes COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "sm_[0-9]+" known_codes "${known_codes}")
set(code_options "")
set(compiled "")
foreach(target IN LISTS LSU_CUDA_TARGETS)
  if("sm_${target}" IN_LIST known_codes)
    list(APPEND code_options "--generate-code=arch=compute_${target},code=sm_${target}")
    list(APPEND compiled "${target}")
  endif()
endforeach()
if(NOT compiled)
  message(FATAL_ERROR "${LSU_NVCC} knows none of LSU_CUDA_TARGETS=${LSU_CUDA_TARGETS}: pass one that it lists "
                      "with --list-gpu-code")
endif()
# PTX of the newest target lets GPUs that came after this nvcc compile the kernels when they load them.
list(GET compiled -1 newest)
list(APPEND code_options "--generate-code=arch=compute_${newest},code=compute_${newest}")
list(JOIN compiled " " compiled)
message(STATUS "lsu: CUDA kernels by ${LSU_NVCC} for sm_ ${compiled}, PTX ${newest}")

set(fatbin "${CMAKE_CURRENT_BINARY_DIR}/constrained_argmax.fatbin")
set(source "${CMAKE_CURRENT_SOURCE_DIR}/src/constrained_argmax.cu")
add_custom_command(
  OUTPUT "${fatbin}"
  COMMAND "${LSU_NVCC}" --fatbin -std=c++17 -O3 --fmad=false --Werror all-warnings ${code_options}
          "-I${CMAKE_CURRENT_SOURCE_DIR}/include" "-I${CMAKE_CURRENT_SOURCE_DIR}/src" -o "${fatbin}" "${source}"
  DEPENDS "${source}" src/device_block.h src/device_cells.h src/device_dense.h src/device_mixed.h
          src/device_plan.h src/device_samples.h src/rules.h include/lsu/constrained_argmax.h
  COMMENT "Compiling the CUDA kernels to one fat binary"
  VERBATIM)
add_custom_target(lsu_fatbin ALL DEPENDS "${fatbin}")
# The launcher looks for it in data/ beside the library that it is in.
install(FILES "${fatbin}" DESTINATION "${LSU_LIBRARY_DIR}/data")
