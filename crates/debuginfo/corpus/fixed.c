// At a fixed address (no PIE), with and without compressed debug information; a trap instruction ends it.
// builds: gcc-O0-dwarf5-nopie gcc-O2-dwarf4-nopie-compressed clang-O0-dwarf4-nopie clang-O2-dwarf5-nopie-compressed
static volatile int sink;

static int global_counter = 4;

__attribute__((noinline)) static int count(int by) {
    static int calls = 10;
    calls += by;
    global_counter += calls;
    int now = global_counter * by;
    sink = now;
    if (now > 3) __builtin_trap();
    return now;
}

int main(int argc, char **argv) {
    (void)argv;
    int start = argc + 1;
    int end = count(start);
    return end - start;
}
