// The last instruction of several functions is a call that never returns.
#include <stdio.h>
#include <stdlib.h>

static volatile int sink;

__attribute__((noreturn, noinline)) static void die(int code, const char *why) {
    int doubled = code * 2;
    sink = doubled + (why != NULL);
    abort();
}

__attribute__((noreturn, noinline)) static void fail(int code) {
    int next = code + 1;
    sink = next;
    die(next, "failed");
}

__attribute__((noinline)) static int check(int value) {
    unsigned flags = 0x80000000u | (unsigned)value;
    sink = (int)flags;
    if (value > 0) fail(value);
    return (int)(flags >> 3);
}

__attribute__((noinline)) static int after_it(int value) { return value * 31; }

int main(int argc, char **argv) {
    (void)argv;
    int result = check(argc);
    return after_it(result);
}
