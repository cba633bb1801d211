/*
 * A threaded HTTP/1.1 server for what takes its time: slow answers, deadlocks, crashes in children, output, exits.
 *
 *   PORT=8080 ./stuck [anything ...]
 *
 * One thread and one request per connection.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_MAX = 4096, ANSWER_MAX = 4096 };

static pthread_mutex_t wallet = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t ledger = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t both;
static char **arguments;
static int finish_in_flight;
static int listener;
static volatile int in_flight; /* connections, from the moment they are accepted */

static void sleep_ms(long ms)
{
    struct timespec left = { ms / 1000, ms % 1000 * 1000000 };
    while (nanosleep(&left, &left) != 0)
        ;
}

static long number_after(const char *target, char mark)
{
    const char *at = strchr(target, mark);
    return at == NULL ? 0 : strtol(at + 1, NULL, 10);
}

/* ---- ways to break ------------------------------------------------------------------------------------------- */

/* Read anew each time: the compiler must not know that it is null. */
static const volatile char *volatile nowhere = NULL;

__attribute__((noinline)) static int first_byte(const volatile char *text)
{
    return *text; /* the site */
}

/* Each of these is another error: other return addresses. */
__attribute__((noinline)) static int break_here(void)
{
    return first_byte(nowhere) + 1;
}

__attribute__((noinline)) static int break_there(void)
{
    return first_byte(nowhere) + 2;
}

__attribute__((noinline)) static int break_elsewhere(void)
{
    return first_byte(nowhere) + 3;
}

__attribute__((noinline)) static void move_from_wallet(void)
{
    pthread_mutex_lock(&wallet);
    pthread_barrier_wait(&both);
    pthread_mutex_lock(&ledger); /* waits for the other one */
    pthread_mutex_unlock(&ledger);
    pthread_mutex_unlock(&wallet);
}

__attribute__((noinline)) static void move_from_ledger(void)
{
    pthread_mutex_lock(&ledger);
    pthread_barrier_wait(&both);
    pthread_mutex_lock(&wallet); /* and that one for this */
    pthread_mutex_unlock(&wallet);
    pthread_mutex_unlock(&ledger);
}

static int break_in_child(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(break_here());
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* ---- HTTP ---------------------------------------------------------------------------------------------------- */

static void route(const char *target, char *body)
{
    if (strncmp(target, "/slow", 5) == 0) {
        long ms = number_after(target, '=');
        sleep_ms(ms);
        snprintf(body, ANSWER_MAX, "after %ld ms\n", ms);
    } else if (strcmp(target, "/null") == 0) {
        snprintf(body, ANSWER_MAX, "%d\n", break_here());
    } else if (strcmp(target, "/null-there") == 0) {
        snprintf(body, ANSWER_MAX, "%d\n", break_there());
    } else if (strcmp(target, "/null-elsewhere") == 0) {
        snprintf(body, ANSWER_MAX, "%d\n", break_elsewhere());
    } else if (strcmp(target, "/null-in-child") == 0) {
        snprintf(body, ANSWER_MAX, "child ended by signal %d\n", break_in_child());
    } else if (strcmp(target, "/wallet") == 0) {
        move_from_wallet();
    } else if (strcmp(target, "/ledger") == 0) {
        move_from_ledger();
    } else if (strcmp(target, "/say") == 0) {
        printf("a line for stdout\n");
        fprintf(stderr, "a line for stderr\n");
        fflush(stdout);
    } else if (strncmp(target, "/exit", 5) == 0) {
        _exit((int)number_after(target, '='));
    } else if (strcmp(target, "/arguments") == 0) {
        size_t used = 0;
        for (char **argument = arguments + 1; *argument != NULL && used < ANSWER_MAX; argument++)
            used += (size_t)snprintf(body + used, ANSWER_MAX - used, "%s ", *argument);
    } else if (strcmp(target, "/pid") == 0) {
        snprintf(body, ANSWER_MAX, "%d", (int)getpid());
    } else {
        snprintf(body, ANSWER_MAX, "ok\n");
    }
}

static void *serve(void *argument)
{
    int fd = (int)(long)argument;
    char request[REQUEST_MAX + 1];
    size_t length = 0;
    request[0] = '\0';
    while (strstr(request, "\r\n\r\n") == NULL && length < REQUEST_MAX) {
        ssize_t got = recv(fd, request + length, REQUEST_MAX - length, 0);
        if (got <= 0)
            break;
        length += (size_t)got;
        request[length] = '\0';
    }
    char method[16];
    char target[1024];
    if (sscanf(request, "%15s %1023s", method, target) == 2) {
        char body[ANSWER_MAX] = "";
        char answer[ANSWER_MAX + 256];
        route(target, body);
        int all = snprintf(answer, sizeof answer,
                           "HTTP/1.1 200 OK\r\ncontent-length: %zu\r\nconnection: close\r\n\r\n%s", strlen(body), body);
        ssize_t ignored = send(fd, answer, (size_t)all, MSG_NOSIGNAL);
        (void)ignored;
    }
    close(fd);
    __atomic_fetch_sub(&in_flight, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

/* SIGTERM ends it in good order: what is in flight is finished first. */
static void *finish(void *set)
{
    int signal_number;
    sigwait(set, &signal_number);
    if (!finish_in_flight)
        for (;;)
            pause();
    /* Who is connected already is answered, accepted or not: the main thread goes on accepting. */
    struct pollfd waiting = { .fd = listener, .events = POLLIN };
    while (poll(&waiting, 1, 20) > 0 || in_flight > 0)
        sleep_ms(5);
    _exit(0);
}

int main(int argc, char **argv)
{
    (void)argc;
    arguments = argv;
    finish_in_flight = getenv("STUBBORN") == NULL;
    pthread_barrier_init(&both, NULL, 2);
    static sigset_t terminate;
    sigemptyset(&terminate);
    sigaddset(&terminate, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &terminate, NULL);
    pthread_t thread;
    pthread_create(&thread, NULL, finish, &terminate);

    const char *port = getenv("PORT");
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port ? port : "0")) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 256) != 0) {
        perror("listen");
        return 1;
    }
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        __atomic_fetch_add(&in_flight, 1, __ATOMIC_SEQ_CST);
        if (pthread_create(&thread, NULL, serve, (void *)(long)fd) == 0)
            pthread_detach(thread);
        else
            __atomic_fetch_sub(&in_flight, 1, __ATOMIC_SEQ_CST);
    }
}
