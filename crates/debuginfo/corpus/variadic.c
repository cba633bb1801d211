// Functions with a variable number of arguments, by registers and by the stack.
#include <stdarg.h>
#include <stdlib.h>

static volatile double sink;

__attribute__((noinline)) static double sum(int count, ...) {
    va_list list;
    va_start(list, count);
    double total = 0;
    for (int at = 0; at < count; at++) {
        total += at % 2 ? va_arg(list, double) : (double)va_arg(list, long);
        sink = total;
        if (at == 9) abort();
    }
    va_end(list);
    return total;
}

__attribute__((noinline)) static int many(int a, int b, int c, int d, int e, int f, long g, char h, double i, float j) {
    int kept = a + b + c + d + e + f;
    sink = kept + i + j;
    double total = sum(12, 1L, 1.5, 2L, 2.5, 3L, 3.5, 4L, 4.5, 5L, 5.5, g, i);
    return kept + (int)total + h;
}

int main(int argc, char **argv) {
    (void)argv;
    return many(argc, 2, 3, 4, 5, 6, 7000000000L, 'h', 0.25, 1.75f);
}
