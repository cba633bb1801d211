// A handler for SIGSEGV on an alternate stack, which aborts.
// deliver: 1
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>

static char alternate[65536];
static volatile int sink;

__attribute__((noinline)) static void report(int number, void *where) {
    long code = number * 100L;
    char first = ((char *)&where)[0];
    sink = (int)code + first;
    abort();
}

static void on_signal(int number, siginfo_t *info, void *context) {
    int depth = context != NULL;
    report(number, info->si_addr);
    sink += depth;
}

__attribute__((noinline)) static int touch(int *where, int value) {
    int before = value + 1;
    sink = before;
    *where = value;
    return before + sink;
}

__attribute__((noinline)) static int work(int rounds, double factor) {
    unsigned char kept = (unsigned char)(rounds * 3);
    int result = touch((int *)(long)(rounds + 15), rounds);
    sink = kept;
    return result + (int)factor + kept;
}

int main(int argc, char **argv) {
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_ONSTACK | SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    return work(argc, 2.5) + (argv == NULL);
}
