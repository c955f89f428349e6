#include "report.h"

#include <atomic>
#include <cstdarg>
#include <cstdio>

namespace lsu::tensorrt {
namespace {

// TensorRT hands it over through an entry point of the library, so there is no object to keep it in.
std::atomic<nvinfer1::ILoggerFinder*> logger_finder{nullptr};

nvinfer1::ILogger* find_logger() noexcept {
    nvinfer1::ILoggerFinder* const finder = logger_finder.load();
    if (finder == nullptr) return nullptr;
    try {
        return finder->findLogger();
    } catch (...) {  // findLogger may throw, and the plugin's methods may not
        return nullptr;
    }
}

}  // namespace

Line::Line(const char* format, ...) {
    std::va_list values;
    va_start(values, format);
    std::vsnprintf(text_.data(), text_.size(), format, values);
    va_end(values);
}

void set_logger_finder(nvinfer1::ILoggerFinder* finder) noexcept { logger_finder.store(finder); }

void report(nvinfer1::IErrorRecorder* recorder, nvinfer1::ErrorCode code, const Line& line) noexcept {
    const Line full("lsu::ConstrainedArgmaxPacked: %s", line.text());
    if (recorder != nullptr) recorder->reportError(code, full.text());
    if (nvinfer1::ILogger* const logger = find_logger(); logger != nullptr)
        logger->log(nvinfer1::ILogger::Severity::kERROR, full.text());
}

}  // namespace lsu::tensorrt
