// A call of a null function pointer.
#include <stdio.h>

struct table {
    int (*open)(int);
    int (*close)(int);
};

static volatile int sink;

__attribute__((noinline)) static int dispatch(const struct table *table, int which) {
    int doubled = which * 2;
    sink = doubled;
    int result = which ? table->close(doubled) : table->open(doubled);
    sink = result;
    return result + doubled;
}

static int open_it(int value) { return value + 1; }

int main(int argc, char **argv) {
    struct table table = {.open = open_it};
    long kept = argc * 11L;
    int result = dispatch(&table, argc);
    printf("%d %ld %s\n", result, kept, argv[0]);
    return result;
}
