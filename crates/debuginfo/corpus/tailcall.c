// Calls that replace their caller's frame, where the compiler optimises.
#include <stdlib.h>

static volatile int sink;

__attribute__((noinline)) static int last(int a, int b, int c) {
    int sum = a + b + c;
    sink = sum;
    if (sum > 3) abort();
    return sum;
}

__attribute__((noinline)) static int third(int x) {
    int square = x * x;
    sink = square;
    return last(square, x, 1);
}

__attribute__((noinline)) static int second(int x, int y) {
    int bigger = x > y ? x : y;
    sink = bigger;
    return third(bigger + 1);
}

__attribute__((noinline)) static int first(int x) {
    int kept = x + 5;
    int result = second(x, kept);
    sink = result;
    return result * kept;
}

int main(int argc, char **argv) {
    (void)argv;
    return first(argc) + 1;
}
