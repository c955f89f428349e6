// Cases that play TensorRT's part against the plugin library, whichever way its creator was found.
#ifndef LSU_TESTS_DRIVER_H
#define LSU_TESTS_DRIVER_H

#include <NvInfer.h>

#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "doubles.h"
#include "fake_lsu.h"

struct Session {
    nvinfer1::IPluginCreatorV3One* creator = nullptr;
    LoggerFinder* finder = nullptr;  // the plugin's logger is finder->logger
    FakeLsu* lsu = nullptr;          // NULL with the real liblsu.so
    std::string folder;              // of the plugin library
};

using Plugin = std::unique_ptr<nvinfer1::IPluginV3>;

// Prints what does not hold and remembers it for the exit status.
void expect(bool holds, const std::string& what);

Plugin build_plugin(const Session& session, int32_t void_channel = -1);
nvinfer1::IPluginV3OneBuild* build_of(const Plugin& plugin);
nvinfer1::IPluginV3OneRuntime* runtime_of(const Plugin& plugin);
nvinfer1::Dims dims_of(std::initializer_list<int64_t> extents);

// True if exactly one line came since the last call, and it holds `part`.
bool said(std::vector<std::string>& lines, const std::string& part);

using Case = void (*)(Session&);

struct NamedCase {
    const char* name;
    Case run;
};

const std::vector<NamedCase>& build_cases();
const std::vector<NamedCase>& run_cases();

#endif  // LSU_TESTS_DRIVER_H
