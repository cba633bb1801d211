// Linked statically, at a fixed address and not.
// builds: gcc-O0-dwarf5-static gcc-O2-dwarf4-staticpie clang-O0-dwarf4-static clang-O2-dwarf5-static
#include <signal.h>
#include <stdlib.h>

static volatile int sink;

static int compare(const void *a, const void *b) {
    int left = *(const int *)a, right = *(const int *)b;
    sink = left - right;
    if (left + right == 7) raise(SIGABRT);
    return sink;
}

int main(int argc, char **argv) {
    (void)argv;
    int numbers[] = {5, 2, 9, argc, 3};
    unsigned long count = sizeof numbers / sizeof *numbers;
    qsort(numbers, count, sizeof *numbers, compare);
    return numbers[0] + (int)count;
}
