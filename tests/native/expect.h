// What the programs of fixed cases share: a failed expectation says where it stands and ends the program.
#ifndef LSU_TESTS_EXPECT_H
#define LSU_TESTS_EXPECT_H

#include <dirent.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace test {

inline void expect(bool holds, const char* what, const char* file, int line) {
    if (holds) return;
    std::fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
    std::_Exit(1);
}

// Of this process.
inline int64_t count_threads() {
    int64_t count = 0;
    DIR* folder = opendir("/proc/self/task");
    while (const dirent* entry = readdir(folder)) count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

struct Case {
    const char* name;
    void (*run)();
};

// All of them, or the one of that name.
template <size_t kCount>
int run_all(const Case (&cases)[kCount], const char* name = nullptr) {
    int64_t found = 0;
    for (const Case& one : cases) {
        if (name != nullptr && std::strcmp(name, one.name) != 0) continue;
        ++found;
        std::printf("%s\n", one.name);
        std::fflush(stdout);
        one.run();
    }
    return found > 0 ? 0 : 1;
}

}  // namespace test

#define LSU_EXPECT(what) ::test::expect((what), #what, __FILE__, __LINE__)
#define LSU_CASE(name) {#name, name}

#endif  // LSU_TESTS_EXPECT_H
