// A function in assembly without unwind tables, which keeps a frame pointer.
// flags: -fno-omit-frame-pointer
#include <stdlib.h>

int through(int (*call)(int), int value);
__asm__(
    ".text\n"
    ".globl through\n"
    ".type through, @function\n"
    "through:\n"
    "    push %rbp\n"
    "    mov %rsp, %rbp\n"
    "    mov %rdi, %rax\n"
    "    mov %esi, %edi\n"
    "    call *%rax\n"
    "    add $1, %eax\n"
    "    pop %rbp\n"
    "    ret\n"
    ".size through, .-through\n");

static volatile int sink;

__attribute__((noinline)) static int stop(int value) {
    int more = value + 4;
    sink = more;
    if (more) abort();
    return more;
}

__attribute__((noinline)) static int start(int value) {
    int kept = value * 6;
    int result = through(stop, kept);
    sink = result;
    return result + kept;
}

int main(int argc, char **argv) {
    (void)argv;
    return start(argc);
}
