/*
 * A small threaded HTTP/1.1 server with one way to break per path.
 *
 *   PORT=8080 ./server      or      ./server 8080
 *
 * Port 0 takes any free one; the first line on stdout says which. One thread per connection, at most MAX_CONNECTIONS.
 * Reads request heads only: bodies with a Content-Length are skipped, chunked ones are refused. It does not know that
 * anybody watches it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    HEAD_MAX = 16 * 1024,
    BODY_MAX = 1024 * 1024,
    TARGET_MAX = 1024,
    ANSWER_MAX = 4096,
    MAX_CONNECTIONS = 512,
    MAX_PARKED = 10000,
    LEAK_MAX_MIB = 64,
    IDLE_TIMEOUT_S = 60,
};

struct request {
    char method[16];
    char target[TARGET_MAX];
    uint64_t content_length;
    bool keep_alive;
    bool refused; /* syntax or framing that we do not take */
};

struct answer {
    int status;
    char body[ANSWER_MAX];
};

/* What /null trips over: an address book with an entry that has no address. */
struct address {
    char street[32];
    int zip;
};
struct customer {
    int id;
    const char *name;
    struct address *address;
};
static struct customer customers[] = {
    { 1, "Ada", &(struct address){ "Mill Lane 1", 1010 } },
    { 2, "Grace", NULL },
};

static char **arguments;
static int listener;
static atomic_int connections;
static atomic_int parked;
static atomic_size_t leaked_mib;
static volatile unsigned char sink;

/* ---- ways to break ------------------------------------------------------------------------------------------- */

__attribute__((noinline)) static int share(int total, int parts)
{
    int each = total / parts;
    return each;
}

__attribute__((noinline)) static int zip_of(const struct customer *customer)
{
    return customer->address->zip;
}

__attribute__((noinline)) static int shipping_zone(const struct customer *customer)
{
    int zip = zip_of(customer);
    return zip / 1000;
}

__attribute__((noinline)) static unsigned depth(unsigned level)
{
    volatile unsigned char frame[512];
    frame[0] = (unsigned char)level;
    /* Used after the call, so that it is no tail call. */
    unsigned below = depth(level + 1);
    return below + frame[0];
}

static void crash_again(int signal_number)
{
    (void)signal_number;
    static const char message[] = "in the SIGSEGV handler\n";
    ssize_t ignored = write(STDERR_FILENO, message, sizeof message - 1);
    (void)ignored;
    volatile int *nowhere = (int *)16;
    *nowhere = 1;
}

static void install_crashing_handler(void)
{
    struct sigaction action = { .sa_handler = crash_again };
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, NULL);
}

static void *park(void *unused)
{
    (void)unused;
    for (;;)
        pause();
    return NULL;
}

static int start_parked(long wanted)
{
    int started = 0;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 * 1024);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    while (started < wanted && atomic_load(&parked) < MAX_PARKED) {
        pthread_t thread;
        if (pthread_create(&thread, &attributes, park, NULL) != 0)
            break;
        atomic_fetch_add(&parked, 1);
        started++;
    }
    pthread_attr_destroy(&attributes);
    return started;
}

static size_t leak(long mib)
{
    for (long i = 0; i < mib && i < LEAK_MAX_MIB; i++) {
        unsigned char *lost = malloc(1 << 20);
        if (lost == NULL)
            break;
        memset(lost, 0xa5, 1 << 20);
        sink = lost[0];
        atomic_fetch_add(&leaked_mib, 1);
    }
    return atomic_load(&leaked_mib);
}

/* ---- answers ------------------------------------------------------------------------------------------------- */

static void send_all(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return;
        bytes += sent;
        length -= (size_t)sent;
    }
}

static const char *reason(int status)
{
    switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 413: return "Content Too Large";
    case 503: return "Service Unavailable";
    default: return "Internal Server Error";
    }
}

static void send_answer(int fd, const struct answer *answer, bool keep_alive, bool head_only)
{
    char bytes[ANSWER_MAX + 256];
    size_t length = strlen(answer->body);
    int head = snprintf(bytes, sizeof bytes,
                        "HTTP/1.1 %d %s\r\ncontent-type: text/plain\r\ncontent-length: %zu\r\nconnection: %s\r\n\r\n",
                        answer->status, reason(answer->status), length, keep_alive ? "keep-alive" : "close");
    if (!head_only) {
        memcpy(bytes + head, answer->body, length);
        head += (int)length;
    }
    send_all(fd, bytes, (size_t)head);
}

static void say(struct answer *answer, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void say(struct answer *answer, int status, const char *format, ...)
{
    va_list arguments_of_format;
    va_start(arguments_of_format, format);
    answer->status = status;
    vsnprintf(answer->body, sizeof answer->body, format, arguments_of_format);
    va_end(arguments_of_format);
}

/* ---- routes -------------------------------------------------------------------------------------------------- */

/* A number out of the query, or the fallback. */
static long parameter(const char *query, const char *name, long fallback)
{
    size_t length = strlen(name);
    while (query != NULL && *query != '\0') {
        if (strncmp(query, name, length) == 0 && query[length] == '=')
            return strtol(query + length + 1, NULL, 10);
        query = strchr(query, '&');
        if (query != NULL)
            query++;
    }
    return fallback;
}

/* Forks a child that answers on this connection; the parent only waits. Nothing that takes a lock in the child. */
static bool answer_from_child(int fd, bool keep_alive)
{
    pid_t child = fork();
    if (child < 0)
        return false;
    if (child == 0) {
        struct answer answer;
        say(&answer, 200, "child %d of %d\n", (int)getpid(), (int)getppid());
        send_answer(fd, &answer, keep_alive, false);
        _exit(0);
    }
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    return true;
}

/* Replaces the process by a new one of the same program on the same port. */
static void exec_again(int fd)
{
    struct answer answer;
    say(&answer, 200, "executing again\n");
    send_answer(fd, &answer, false, false);
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    char port[8] = "0";
    if (getsockname(listener, (struct sockaddr *)&address, &length) == 0)
        snprintf(port, sizeof port, "%u", ntohs(address.sin_port));
    char *again[] = { arguments[0], port, NULL };
    execv("/proc/self/exe", again); /* all descriptors are close-on-exec */
    perror("execv");
    abort();
}

/* Returns false when the connection has been answered already. */
static bool route(int fd, const struct request *request, struct answer *answer)
{
    char path[TARGET_MAX];
    memcpy(path, request->target, sizeof path);
    char *query = strchr(path, '?');
    if (query != NULL)
        *query++ = '\0';

    if (strcmp(path, "/ok") == 0 || strcmp(path, "/health") == 0) {
        say(answer, 200, "ok\n");
    } else if (strcmp(path, "/") == 0) {
        say(answer, 200, "/ok /divide?by=0 /null?customer=2 /abort /smash /sigsegv-handler /fork /exec "
                         "/threads?n=1000 /leak?mib=1\n");
    } else if (strcmp(path, "/divide") == 0) {
        int parts = (int)parameter(query, "by", 1);
        say(answer, 200, "%d\n", share(1000, parts));
    } else if (strcmp(path, "/null") == 0) {
        long id = parameter(query, "customer", 2);
        if (id < 1 || id > (long)(sizeof customers / sizeof customers[0]))
            say(answer, 404, "no such customer\n");
        else
            say(answer, 200, "zone %d\n", shipping_zone(&customers[id - 1]));
    } else if (strcmp(path, "/abort") == 0) {
        int in_stock = (int)parameter(query, "stock", -1);
        assert(in_stock >= 0);
        say(answer, 200, "%d\n", in_stock);
    } else if (strcmp(path, "/smash") == 0) {
        say(answer, 200, "%u\n", depth(0));
    } else if (strcmp(path, "/sigsegv-handler") == 0) {
        install_crashing_handler();
        say(answer, 200, "zone %d\n", shipping_zone(&customers[1]));
    } else if (strcmp(path, "/fork") == 0) {
        if (answer_from_child(fd, request->keep_alive))
            return false;
        say(answer, 503, "cannot fork\n");
    } else if (strcmp(path, "/exec") == 0) {
        exec_again(fd);
    } else if (strcmp(path, "/threads") == 0) {
        int started = start_parked(parameter(query, "n", 1000));
        say(answer, 200, "%d more, %d parked\n", started, atomic_load(&parked));
    } else if (strcmp(path, "/leak") == 0) {
        say(answer, 200, "%zu MiB leaked\n", leak(parameter(query, "mib", 1)));
    } else {
        say(answer, 404, "no such path\n");
    }
    return true;
}

/* ---- HTTP/1.1 (RFC 9112) ------------------------------------------------------------------------------------- */

struct connection {
    int fd;
    size_t length; /* bytes in buffer */
    char buffer[HEAD_MAX + 1];
};

/* Reads more; false at the end of the stream, on error and after IDLE_TIMEOUT_S. */
static bool fill(struct connection *connection)
{
    for (;;) {
        ssize_t got = recv(connection->fd, connection->buffer + connection->length, HEAD_MAX - connection->length, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        connection->length += (size_t)got;
        connection->buffer[connection->length] = '\0';
        return true;
    }
}

static void consume(struct connection *connection, size_t bytes)
{
    connection->length -= bytes;
    memmove(connection->buffer, connection->buffer + bytes, connection->length);
    connection->buffer[connection->length] = '\0';
}

static bool has_token(const char *list, const char *token)
{
    size_t length = strlen(token);
    for (const char *at = list; *at != '\0'; at++) {
        bool starts = at == list || at[-1] == ',' || at[-1] == ' ' || at[-1] == '\t';
        char after = strncasecmp(at, token, length) == 0 ? at[length] : 'x';
        if (starts && (after == '\0' || after == ',' || after == ' ' || after == '\t'))
            return true;
    }
    return false;
}

static void parse_field(char *line, struct request *request, bool *has_length)
{
    char *value = strchr(line, ':');
    if (value == NULL || value == line || isspace((unsigned char)value[-1])) {
        request->refused = true;
        return;
    }
    *value++ = '\0';
    value += strspn(value, " \t");
    if (strcasecmp(line, "connection") == 0) {
        if (has_token(value, "close"))
            request->keep_alive = false;
        else if (has_token(value, "keep-alive"))
            request->keep_alive = true;
    } else if (strcasecmp(line, "content-length") == 0) {
        size_t digits = strspn(value, "0123456789");
        size_t rest = strspn(value + digits, " \t");
        request->refused |= *has_length || digits == 0 || digits > 18 || value[digits + rest] != '\0';
        request->content_length = strtoull(value, NULL, 10);
        *has_length = true;
    } else if (strcasecmp(line, "transfer-encoding") == 0) {
        request->refused = true;
    }
}

/* Parses a head that ends at the empty line; the buffer is cut up in place. */
static void parse(char *head, struct request *request)
{
    memset(request, 0, sizeof *request);
    int minor = 0;
    int end = 0;
    char *save = NULL;
    char *line = strtok_r(head, "\r\n", &save);
    if (line == NULL || sscanf(line, "%15s %1023s HTTP/1.%1d%n", request->method, request->target, &minor, &end) != 3 ||
        line[end] != '\0' || request->target[0] != '/') {
        request->refused = true;
        return;
    }
    request->keep_alive = minor >= 1;
    bool has_length = false;
    while ((line = strtok_r(NULL, "\r\n", &save)) != NULL)
        parse_field(line, request, &has_length);
}

/* Reads one request with its body; false when the connection is over. */
static bool next_request(struct connection *connection, struct request *request)
{
    char *end;
    while ((end = strstr(connection->buffer, "\r\n\r\n")) == NULL) {
        if (strlen(connection->buffer) < connection->length || connection->length == HEAD_MAX)
            return false; /* a NUL byte, or a head that is too long */
        if (!fill(connection))
            return false;
    }
    size_t head = (size_t)(end - connection->buffer) + 4;
    *end = '\0';
    parse(connection->buffer, request);
    consume(connection, head);
    if (request->refused || request->content_length > BODY_MAX) {
        request->keep_alive = false; /* whatever follows is not looked at */
        return true;
    }
    uint64_t left = request->content_length;
    while (left > 0) {
        if (connection->length == 0 && !fill(connection))
            return false;
        size_t part = connection->length < left ? connection->length : (size_t)left;
        consume(connection, part);
        left -= part;
    }
    return true;
}

static void serve(struct connection *connection)
{
    struct request request;
    do {
        if (!next_request(connection, &request))
            return;
        struct answer answer = { .status = 500 };
        bool head_only = strcmp(request.method, "HEAD") == 0;
        if (request.refused)
            say(&answer, 400, "bad request\n");
        else if (request.content_length > BODY_MAX)
            say(&answer, 413, "too large\n");
        else if (!head_only && strcmp(request.method, "GET") != 0 && strcmp(request.method, "POST") != 0)
            say(&answer, 405, "GET, HEAD and POST only\n");
        else if (!route(connection->fd, &request, &answer))
            continue;
        send_answer(connection->fd, &answer, request.keep_alive, head_only);
    } while (request.keep_alive);
}

static void *connection_thread(void *argument)
{
    struct connection *connection = argument;
    serve(connection);
    close(connection->fd);
    free(connection);
    atomic_fetch_sub(&connections, 1);
    return NULL;
}

static void start_connection(int fd)
{
    struct timeval idle = { .tv_sec = IDLE_TIMEOUT_S };
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct connection *connection = NULL;
    if (atomic_fetch_add(&connections, 1) < MAX_CONNECTIONS)
        connection = malloc(sizeof *connection);
    if (connection != NULL) {
        connection->fd = fd;
        connection->length = 0;
        connection->buffer[0] = '\0';
        pthread_t thread;
        if (pthread_create(&thread, NULL, connection_thread, connection) == 0) {
            pthread_detach(thread);
            return;
        }
        free(connection);
    }
    struct answer busy;
    say(&busy, 503, "too many connections\n");
    send_answer(fd, &busy, false, false);
    close(fd);
    atomic_fetch_sub(&connections, 1);
}

static int listen_on(const char *port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 128) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0) {
        perror(port);
        exit(1);
    }
    printf("listening on http://127.0.0.1:%u\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    const char *from_environment = getenv("PORT");
    const char *port = argc > 1 ? argv[1] : from_environment != NULL ? from_environment : "8080";
    arguments = argv;
    /* A thread that executes again leaves its signal mask to the new program. */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    listener = listen_on(port);
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            start_connection(fd);
        else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
            usleep(10000); /* connections that end will give descriptors back */
    }
}
