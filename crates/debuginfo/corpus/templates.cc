// Templates, lambdas, references, scoped enumerations, operators and anonymous namespaces.
#include <algorithm>
#include <cstdlib>
#include <functional>
#include <vector>

namespace {
volatile long sink;

enum class Mode : unsigned char { Slow = 1, Fast = 200 };

template <typename T, int N>
struct Ring {
    T items[N] = {};
    int at = 0;

    __attribute__((noinline)) T &operator[](int index) {
        int wrapped = index % N;
        if (wrapped == 2) std::abort();
        return items[wrapped];
    }

    template <typename F>
    __attribute__((noinline)) T fold(F f, T start) {
        T result = start;
        for (int index = 0; index < N; ++index) {
            T &item = (*this)[index];
            item = static_cast<T>(index);
            result = f(result, item);
        }
        return result;
    }
};

template <typename T>
T largest(T a, T b) {
    return a > b ? a : b;
}

__attribute__((noinline)) long apply(const std::function<long(long, Mode)> &function, Mode mode) {
    long first = 5;
    long second = function(first, mode);
    return second + first;
}
}  // namespace

int main(int argc, char **) {
    char16_t letter = u'ä';
    char32_t sign = U'€';
    long scale = argc * 3;
    auto twice = [scale, &letter](long value, Mode mode) {
        Ring<long, 4> ring;
        long &alias = ring.at == 0 ? scale == 0 ? ring.items[0] : ring.items[1] : ring.items[2];
        alias = value;
        auto add = [&value, mode](long left, long right) {
            long sum = left + right + static_cast<long>(mode);
            sink = largest(sum, value);
            return sum;
        };
        return ring.fold(add, value * scale) + letter;
    };
    std::vector<short> numbers = {4, 1, 3};
    std::sort(numbers.begin(), numbers.end(), [](short a, short b) { return a < b; });
    long result = apply(twice, Mode::Fast);
    return static_cast<int>(result + numbers[0] + sign);
}
