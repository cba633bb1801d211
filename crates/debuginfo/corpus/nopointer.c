// No frame pointers: tables alone lead out; locals live in registers that callees save.
// flags: -fomit-frame-pointer
#include <stdlib.h>

static volatile long sink;

__attribute__((noinline)) static long inner(long a, long b, long c) {
    long product = a * b - c;
    sink = product;
    if (product != 12345) abort();
    return product;
}

__attribute__((noinline)) static long busy(long a, long b, long c, long d, long e, long f) {
    long one = a ^ 3, two = b + one, three = c * two, four = d - three, five = e | four, six = f & 255;
    long found = inner(one, two, three);
    sink = found;
    long more = found + one * two + three * four + five * six;
    sink = more;
    return more + one + two + three + four + five + six;
}

__attribute__((noinline)) static long calm(long seed) {
    long kept = seed << 4;
    long second = kept + 9;
    long result = busy(seed, 2, 3, 4, second, kept);
    return result + kept - second;
}

int main(int argc, char **argv) {
    (void)argv;
    return (int)calm(argc);
}
