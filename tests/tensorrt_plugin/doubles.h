// TensorRT's part of the conversation with a plugin: a logger, an error recorder, an execution context's
// resources, and dimension expressions that can be looked into.
#ifndef LSU_TESTS_DOUBLES_H
#define LSU_TESTS_DOUBLES_H

#include <NvInfer.h>

#include <cstdint>
#include <deque>
#include <limits>
#include <string>
#include <vector>

class Recorder final : public nvinfer1::IErrorRecorder {
  public:
    std::vector<std::string> lines;
    std::vector<nvinfer1::ErrorCode> codes;

    int32_t getNbErrors() const noexcept override { return static_cast<int32_t>(lines.size()); }
    nvinfer1::ErrorCode getErrorCode(int32_t i) const noexcept override {
        return codes[static_cast<size_t>(i)];
    }
    ErrorDesc getErrorDesc(int32_t i) const noexcept override {
        return lines[static_cast<size_t>(i)].c_str();
    }
    bool hasOverflowed() const noexcept override { return false; }
    void clear() noexcept override { lines.clear(); }
    bool reportError(nvinfer1::ErrorCode code, ErrorDesc text) noexcept override {
        codes.push_back(code);
        lines.emplace_back(text);
        return true;
    }
    RefCount incRefCount() noexcept override { return 1; }
    RefCount decRefCount() noexcept override { return 1; }
};

class Logger final : public nvinfer1::ILogger {
  public:
    std::vector<std::string> lines;

    void log(Severity severity, const char* text) noexcept override {
        if (severity == Severity::kERROR) lines.emplace_back(text);
    }
};

class LoggerFinder final : public nvinfer1::ILoggerFinder {
  public:
    Logger logger;

    ~LoggerFinder() override = default;
    nvinfer1::ILogger* findLogger() override { return &logger; }
};

class Resources final : public nvinfer1::IPluginResourceContext {
  public:
    explicit Resources(Recorder* recorder) : recorder_(recorder) {}
    ~Resources() noexcept override = default;
    nvinfer1::IGpuAllocator* getGpuAllocator() const noexcept override { return nullptr; }
    nvinfer1::IErrorRecorder* getErrorRecorder() const noexcept override { return recorder_; }

  private:
    Recorder* recorder_;
};

// A constant, a name, or an operation on two others, written out as text.
class Expression final : public nvinfer1::IDimensionExpr, private nvinfer1::apiv::VDimensionExpr {
  public:
    explicit Expression(int64_t value) : text(std::to_string(value)), constant_(true), value_(value) {
        mImpl = this;
    }
    explicit Expression(std::string written) : text(std::move(written)) { mImpl = this; }
    ~Expression() noexcept override = default;

    const std::string text;

  private:
    bool isConstant() const override { return constant_; }
    int64_t getConstantValue() const override { return value_; }
    bool isSizeTensor() const override { return false; }

    bool constant_ = false;
    int64_t value_ = std::numeric_limits<int64_t>::min();
};

class Builder final : public nvinfer1::IExprBuilder, private nvinfer1::apiv::VExprBuilder {
  public:
    int size_tensors = 0;

    Builder() { mImpl = this; }
    ~Builder() noexcept override = default;

    const Expression* number(int64_t value) { return &made_.emplace_back(value); }
    const Expression* name(const char* text) { return &made_.emplace_back(std::string(text)); }

  private:
    using Dimension = nvinfer1::IDimensionExpr;

    const Dimension* constant(int64_t value) override { return number(value); }
    const Dimension* operation(nvinfer1::DimensionOperation kind, const Dimension& first,
                               const Dimension& second) override {
        if (kind != nvinfer1::DimensionOperation::kCEIL_DIV) return name("another operation");
        if (first.isConstant() && second.isConstant()) {
            const int64_t divisor = second.getConstantValue();
            return number((first.getConstantValue() + divisor - 1) / divisor);
        }
        return name(("ceil(" + static_cast<const Expression&>(first).text + "/" +
                     static_cast<const Expression&>(second).text + ")")
                        .c_str());
    }
    const Dimension* declareSizeTensor(int32_t, const Dimension&, const Dimension& upper) override {
        ++size_tensors;
        return &upper;
    }

    std::deque<Expression> made_;
};

#endif  // LSU_TESTS_DOUBLES_H
