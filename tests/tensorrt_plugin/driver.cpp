// driver FOLDER CASE [LIBNVINFER]: runs one case on FOLDER/liblsu_tensorrt.so. With LIBNVINFER, a real
// TensorRT library, its plugin registry loads the plugin; without, the driver calls the library's entry
// points itself. `driver --list` names the cases.
#include "driver.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

int failures = 0;

void* must(void* pointer, const char* what) {
    if (pointer != nullptr) return pointer;
    const char* const reason = dlerror();
    std::fprintf(stderr, "%s: %s\n", what, reason != nullptr ? reason : "not there");
    std::exit(2);
}

nvinfer1::IPluginCreatorInterface* find_by_registry(const char* library, const std::string& plugin) {
    void* const tensorrt = must(dlopen(library, RTLD_NOW | RTLD_GLOBAL), library);
    using GetRegistry = nvinfer1::IPluginRegistry* (*)();
    auto* const get_registry =
        reinterpret_cast<GetRegistry>(must(dlsym(tensorrt, "getPluginRegistry"), "registry"));
    nvinfer1::IPluginRegistry& registry = *get_registry();
    must(registry.loadLibrary(plugin.c_str()), "loadLibrary");
    return registry.getCreator("ConstrainedArgmaxPacked", "1", "lsu");
}

nvinfer1::IPluginCreatorInterface* find_by_entry_point(void* library) {
    using GetCreators = nvinfer1::IPluginCreatorInterface* const* (*)(int32_t&);
    auto* const get_creators =
        reinterpret_cast<GetCreators>(must(dlsym(library, "getCreators"), "getCreators"));
    int32_t count = 0;
    nvinfer1::IPluginCreatorInterface* const* const creators = get_creators(count);
    expect(count == 1, "the library has one creator");
    return creators[0];
}

// The registry's own finder has no engine to find a logger of. A refusal that it is asked about is a refusal
// all the same; afterwards the lines are read from our finder.
void refuse_with_the_registrys_finder(nvinfer1::IPluginCreatorV3One& creator) {
    const nvinfer1::PluginField field{"unknown", nullptr, nvinfer1::PluginFieldType::kINT32, 1};
    const nvinfer1::PluginFieldCollection fields{1, &field};
    expect(creator.createPlugin("head", &fields, nvinfer1::TensorRTPhase::kBUILD) == nullptr, "refused");
}

void set_finder(void* library, LoggerFinder* finder) {
    using SetFinder = void (*)(nvinfer1::ILoggerFinder*);
    reinterpret_cast<SetFinder>(must(dlsym(library, "setLoggerFinder"), "setLoggerFinder"))(finder);
}

FakeLsu* find_fake(const std::string& folder) {
    void* const lsu = must(dlopen((folder + "/liblsu.so").c_str(), RTLD_LAZY | RTLD_NOLOAD), "liblsu.so");
    using GetFake = FakeLsu* (*)();
    auto* const get_fake = reinterpret_cast<GetFake>(dlsym(lsu, "fake_lsu"));
    return get_fake != nullptr ? get_fake() : nullptr;
}

int list_cases() {
    for (const auto* cases : {&build_cases(), &run_cases()})
        for (const NamedCase& one : *cases) std::puts(one.name);
    return 0;
}

}  // namespace

void expect(bool holds, const std::string& what) {
    if (holds) return;
    ++failures;
    std::fprintf(stderr, "does not hold: %s\n", what.c_str());
}

Plugin build_plugin(const Session& session, int32_t void_channel) {
    const nvinfer1::PluginField field{"void_channel", &void_channel, nvinfer1::PluginFieldType::kINT32, 1};
    const nvinfer1::PluginFieldCollection fields{1, &field};
    return Plugin(session.creator->createPlugin("head", &fields, nvinfer1::TensorRTPhase::kBUILD));
}

nvinfer1::IPluginV3OneBuild* build_of(const Plugin& plugin) {
    return static_cast<nvinfer1::IPluginV3OneBuild*>(
        plugin->getCapabilityInterface(nvinfer1::PluginCapabilityType::kBUILD));
}

nvinfer1::IPluginV3OneRuntime* runtime_of(const Plugin& plugin) {
    return static_cast<nvinfer1::IPluginV3OneRuntime*>(
        plugin->getCapabilityInterface(nvinfer1::PluginCapabilityType::kRUNTIME));
}

nvinfer1::Dims dims_of(std::initializer_list<int64_t> extents) {
    nvinfer1::Dims dims{};
    for (const int64_t extent : extents) dims.d[dims.nbDims++] = extent;
    return dims;
}

bool said(std::vector<std::string>& lines, const std::string& part) {
    const bool found = lines.size() == 1 && lines[0].rfind("lsu::ConstrainedArgmaxPacked: ", 0) == 0 &&
                       lines[0].find(part) != std::string::npos && lines[0].find('\n') == std::string::npos;
    if (!found)
        for (const std::string& line : lines) std::fprintf(stderr, "said: %s\n", line.c_str());
    lines.clear();
    return found;
}

int main(int count, char** words) {
    if (count == 2 && std::strcmp(words[1], "--list") == 0) return list_cases();
    if (count < 3) return 2;
    const std::string path = std::string(words[1]) + "/liblsu_tensorrt.so";
    LoggerFinder finder;
    Session session;
    session.folder = words[1];
    auto* const found = count > 3 ? find_by_registry(words[3], path) : nullptr;
    void* const library = must(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL), "the plugin");
    session.creator = static_cast<nvinfer1::IPluginCreatorV3One*>(
        must(count > 3 ? found : find_by_entry_point(library), "the creator"));
    if (count > 3) refuse_with_the_registrys_finder(*session.creator);
    set_finder(library, &finder);
    session.finder = &finder;
    session.lsu = find_fake(session.folder);
    for (const auto* cases : {&build_cases(), &run_cases()})
        for (const NamedCase& one : *cases)
            if (std::strcmp(one.name, words[2]) == 0) {
                one.run(session);
                set_finder(library, nullptr);
                return failures == 0 ? 0 : 1;
            }
    std::fprintf(stderr, "no case %s\n", words[2]);
    return 2;
}
