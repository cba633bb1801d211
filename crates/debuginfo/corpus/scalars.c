// Every scalar type of C, blocks that hide names, and a division by zero.
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum color { RED, GREEN = 5, BLUE };
enum weekday { MONDAY = -1, TUESDAY };
typedef enum { NONE = 0, READ = 1, WRITE = 2 } access_t;
typedef unsigned int counter_t;

static volatile double sink;

static int divide(int by, const char *name, void *opaque) {
    int result = 100 / by;
    sink = result + (name != opaque);
    return result;
}

static int scalars(int zero) {
    signed char sc = -7;
    unsigned char uc = 250;
    char c = '\n';
    short s = -30000;
    unsigned short us = 60000;
    int i = -2000000000;
    unsigned u = 4000000000u;
    long l = -9000000000000000000L;
    unsigned long ul = 18000000000000000000UL;
    __int128 big = -((__int128)1 << 100);
    bool yes = true;
    float f = 1.1f;
    double d = -2.2e-300;
    long double ld = 3.25L;
    enum color color = GREEN;
    enum weekday day = MONDAY;
    access_t access = (access_t)(READ | WRITE);
    counter_t counter = 12;
    size_t size = sizeof(int);
    int8_t i8 = -8;
    uint8_t u8 = 200;
    wchar_t wide = L'w';
    int *pointer = &i;
    int **twice = &pointer;
    void *opaque = &d;
    int (*function)(int) = scalars;
    const char *text = "text";
    const volatile int fixed = 9;
    sink = sc + uc + c + s + us + i + u + l + ul + (double)big + yes + f + d + ld + color + day + access;
    sink += counter + size + i8 + u8 + wide + **twice + (opaque != NULL) + (function != NULL) + fixed;
    int result = 0;
    {
        long c = 77;
        sink += c;
        {
            double c = 1.25;
            sink += c;
            result = divide(zero, text, opaque);
            int later = result + 1;
            sink += c + later;
        }
        sink += c;
    }
    return result;
}

int main(int argc, char **argv) {
    (void)argv;
    int zero = argc - 1;
    return scalars(zero);
}
