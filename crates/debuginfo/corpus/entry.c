// Arguments that a function no longer has, of which only its callers still know.
#include <stdlib.h>

static volatile long sink;

__attribute__((noinline)) static void finish(long how) {
    sink = how;
    abort();
}

__attribute__((noinline)) static long narrow(long number, int flag, const long *from) {
    sink = number + flag + *from;
    finish(3);
    return sink;
}

__attribute__((noinline)) static long forward(long number, int flag) {
    long local = number * 2;
    sink = local;
    long result = narrow(41, 1, &local);
    sink = result;
    return result + flag;
}

int main(int argc, char **argv) {
    long origin = argc + 100L;
    long result = forward(origin, 6);
    return (int)(result + origin) + (argv == NULL);
}
