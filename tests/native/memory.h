// Memory that shows a touch beyond its end.
#ifndef LSU_TESTS_MEMORY_H
#define LSU_TESTS_MEMORY_H

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

namespace test {

// An allocation of exactly its size, which AddressSanitizer watches on both sides.
class Bytes {
  public:
    explicit Bytes(size_t size = 0);

    size_t size() const { return size_; }

    template <typename Element>
    Element* as() {
        return static_cast<Element*>(memory_.get());
    }
    template <typename Element>
    const Element* as() const {
        return static_cast<const Element*>(memory_.get());
    }

    void fill(uint8_t value);

    bool operator==(const Bytes& other) const;

  private:
    struct Free {
        void operator()(void* memory) const { std::free(memory); }
    };
    size_t size_;
    std::unique_ptr<void, Free> memory_;
};

// Address space that nobody may read or write, but for the pages that are opened.
class Forbidden {
  public:
    explicit Forbidden(size_t size);
    void open(size_t begin, size_t size) const;  // both multiples of a page
    ~Forbidden();
    Forbidden(const Forbidden&) = delete;
    Forbidden& operator=(const Forbidden&) = delete;

    template <typename Element>
    Element* as() const {
        return static_cast<Element*>(memory_);
    }

  private:
    size_t size_;
    void* memory_;
};

}  // namespace test

#endif  // LSU_TESTS_MEMORY_H
