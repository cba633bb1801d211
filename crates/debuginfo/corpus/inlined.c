// Chains of inlined functions, blocks within them, and a function that is inlined twice.
#include <stdlib.h>

static volatile long sink;

static inline __attribute__((always_inline)) long leaf(long value, int mode) {
    long scaled = value * 7;
    sink = scaled;
    if (mode == 3) {
        long inner = scaled + mode;
        sink = inner;
        abort();
    }
    return scaled;
}

static inline __attribute__((always_inline)) long twig(long value) {
    long one = leaf(value, 1);
    long two = leaf(value + sink, (int)value);
    return one + two;
}

static inline __attribute__((always_inline)) long branch(long value) {
    long sum = 0;
    for (int at = 0; at < 4; at++) {
        short half = (short)(at / 2);
        sum += twig(value + at) + half;
    }
    return sum;
}

__attribute__((noinline)) static long trunk(long value) {
    unsigned short seed = 65535;
    long result = branch(value);
    sink = result;
    return result + seed;
}

int main(int argc, char **argv) {
    (void)argv;
    return (int)trunk(argc);
}
