// How the plugin says what failed: one line, to the execution context's error recorder and to TensorRT's
// logger.
#ifndef LSU_PLUGIN_REPORT_H
#define LSU_PLUGIN_REPORT_H

#include <NvInferRuntime.h>

#include <array>

namespace lsu::tensorrt {

// A line of fixed size: saying what failed must not fail for want of memory.
class Line {
  public:
    Line() = default;
    explicit Line(const char* format, ...) __attribute__((format(printf, 2, 3)));

    const char* text() const { return text_.data(); }

  private:
    std::array<char, 256> text_{};
};

// The finder is TensorRT's and lives as long as this library is loaded; NULL is allowed.
void set_logger_finder(nvinfer1::ILoggerFinder* finder) noexcept;

// `recorder` may be NULL.
void report(nvinfer1::IErrorRecorder* recorder, nvinfer1::ErrorCode code, const Line& line) noexcept;

}  // namespace lsu::tensorrt

#endif  // LSU_PLUGIN_REPORT_H
