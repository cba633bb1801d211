// A small threaded HTTP/1.1 server in C++17 with one way to break per path.
//
//   PORT=8080 ./server      or      ./server 8080
//
// Port 0 takes any free one; the first line on stdout says which. One thread per connection, at most kMaxConnections.
// It reads request heads only and closes the connection after a request with a body. It does not know that anybody
// watches it.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace {

constexpr std::size_t kMaxHead = 16 * 1024;
constexpr int kMaxConnections = 256;
constexpr int kIdleTimeoutSeconds = 60;

// ---- the ticket office: what the paths do -----------------------------------------------------------------------

class SoldOut : public std::runtime_error {
   public:
    SoldOut(std::string event, int wanted) : std::runtime_error("sold out: " + event), wanted(wanted) {}
    int wanted;
};

struct Seat {
    std::string row;
    int number;
    int price_cents;
};

const std::vector<Seat> kSeats = {{"A", 1, 4500}, {"A", 2, 4500}, {"B", 1, 3900}, {"C", 7, 2500}};

[[gnu::noinline]] const Seat& seat_at(std::size_t index) { return kSeats.at(index); }

[[gnu::noinline]] int reserve(const std::string& event, int wanted) {
    std::map<std::string, int> left = {{"concert", 3}, {"theatre", 0}};
    auto& available = left[event];
    if (wanted > available) throw SoldOut(event, wanted);
    return available -= wanted;
}

class Discount {
   public:
    Discount() { registered = describe(*this); }
    virtual ~Discount() = default;
    virtual std::string name() const = 0;
    std::string registered;

   private:
    // Calls a pure virtual function while the object is still only a Discount.
    [[gnu::noinline]] static std::string describe(const Discount& discount) { return discount.name(); }
};

class StudentDiscount : public Discount {
   public:
    std::string name() const override { return "student"; }
};

class Printer {
   public:
    virtual ~Printer() = default;
    virtual std::string print(const Seat& seat) const { return seat.row + std::to_string(seat.number) + "\n"; }
};

// A printer that was given back while somebody still points to it; its memory is used again by something else.
[[gnu::noinline]] std::string print_on_stale_printer(const Seat& seat) {
    alignas(Printer) static unsigned char storage[sizeof(Printer)];
    auto* printer = new (storage) Printer;
    std::string ticket = printer->print(seat);
    printer->~Printer();
    std::fill(std::begin(storage), std::end(storage), static_cast<unsigned char>(0x5a));
    auto* volatile stale = printer;
    return ticket + stale->print(seat);
}

[[gnu::noinline]] int cleanup_that_throws() noexcept { return reserve("theatre", 2); }

// ---- HTTP -------------------------------------------------------------------------------------------------------

struct Request {
    std::string method;
    std::string path;
    std::map<std::string, std::string> query;
    bool keep_alive = true;
};

struct Answer {
    int status = 200;
    std::string body;
};

// A number out of the query; digits only.
std::size_t number(const Request& request, const std::string& name, std::size_t fallback) {
    auto found = request.query.find(name);
    if (found == request.query.end() || found->second.empty() || found->second.size() > 9) return fallback;
    std::size_t value = 0;
    for (unsigned char digit : found->second) {
        if (std::isdigit(digit) == 0) return fallback;
        value = value * 10 + static_cast<std::size_t>(digit - '0');
    }
    return value;
}

const std::map<std::string, std::function<std::string(const Request&)>> kRoutes = {
    {"/", [](const Request&) { return std::string("/ok /throw /at?index=9 /virtual /stale /noexcept /bad-alloc\n"); }},
    {"/ok", [](const Request&) { return std::string("ok\n"); }},
    {"/health", [](const Request&) { return std::string("ok\n"); }},
    {"/throw",
     [](const Request& request) {
         int wanted = static_cast<int>(number(request, "seats", 2));
         return std::to_string(reserve(wanted < 2 ? "concert" : "theatre", wanted)) + " left\n";
     }},
    {"/at", [](const Request& request) { return seat_at(number(request, "index", 9)).row + "\n"; }},
    {"/virtual", [](const Request&) { return StudentDiscount().registered + "\n"; }},
    {"/stale", [](const Request&) { return print_on_stale_printer(kSeats.front()); }},
    {"/noexcept", [](const Request&) { return std::to_string(cleanup_that_throws()) + "\n"; }},
    {"/bad-alloc",
     [](const Request& request) {
         std::size_t gib = number(request, "gib", 1UL << 20);
         std::vector<char> page(gib << 30);
         return std::to_string(page.size()) + "\n";
     }},
};

std::string lower(std::string_view text) {
    std::string result(text);
    for (auto& letter : result) letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
    return result;
}

std::map<std::string, std::string> parse_query(std::string_view text) {
    std::map<std::string, std::string> query;
    while (!text.empty()) {
        auto pair = text.substr(0, text.find('&'));
        text.remove_prefix(std::min(text.size(), pair.size() + 1));
        auto equals = pair.find('=');
        if (equals != std::string_view::npos) query.emplace(pair.substr(0, equals), pair.substr(equals + 1));
    }
    return query;
}

// The request of a head without its empty line; nothing for what is not HTTP/1.x.
std::optional<Request> parse(std::string_view head) {
    auto line = head.substr(0, head.find("\r\n"));
    auto first = line.find(' ');
    auto last = line.rfind(' ');
    if (first == std::string_view::npos || first == last || line.substr(last + 1, 7) != "HTTP/1.") return std::nullopt;
    auto target = line.substr(first + 1, last - first - 1);
    if (target.empty() || target.front() != '/') return std::nullopt;
    auto question = target.find('?');
    Request request{std::string(line.substr(0, first)), std::string(target.substr(0, question)), {},
                    line.substr(last + 1) != "HTTP/1.0"};
    if (question != std::string_view::npos) request.query = parse_query(target.substr(question + 1));

    while (line.size() < head.size()) {
        head.remove_prefix(line.size() + 2);
        line = head.substr(0, head.find("\r\n"));
        auto colon = line.find(':');
        if (colon == std::string_view::npos) return std::nullopt;
        auto name = lower(line.substr(0, colon));
        auto value = lower(line.substr(colon + 1));
        bool has_body = (name == "content-length" && value.find_first_not_of(" \t0") != std::string::npos) ||
                        name == "transfer-encoding";
        if (has_body || (name == "connection" && value.find("close") != std::string::npos)) request.keep_alive = false;
        if (line.size() == head.size()) break;
    }
    return request;
}

Answer answer_to(const Request& request) {
    if (request.method != "GET" && request.method != "POST" && request.method != "HEAD") return {405, "GET only\n"};
    auto route = kRoutes.find(request.path);
    if (route == kRoutes.end()) return {404, "no such path\n"};
    return {200, route->second(request)};
}

class Connection {
   public:
    explicit Connection(int fd) : fd_(fd) {
        timeval idle{kIdleTimeoutSeconds, 0};
        int on = 1;
        setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof idle);
        setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection() { close(fd_); }

    void serve() {
        while (auto head = next_head()) {
            auto request = parse(*head);
            bool keep_alive = request && request->keep_alive;
            send(request ? answer_to(*request) : Answer{400, "bad request\n"}, keep_alive,
                 request && request->method == "HEAD");
            if (!keep_alive) break;
        }
    }

    void send(const Answer& answer, bool keep_alive, bool head_only) const {
        std::string bytes = "HTTP/1.1 " + std::to_string(answer.status) + (answer.status == 200 ? " OK" : " Error") +
                            "\r\ncontent-type: text/plain\r\ncontent-length: " + std::to_string(answer.body.size()) +
                            "\r\nconnection: " + (keep_alive ? "keep-alive" : "close") + "\r\n\r\n";
        if (!head_only) bytes += answer.body;
        std::string_view left = bytes;
        while (!left.empty()) {
            auto sent = ::send(fd_, left.data(), left.size(), MSG_NOSIGNAL);
            if (sent <= 0) return;
            left.remove_prefix(static_cast<std::size_t>(sent));
        }
    }

   private:
    std::optional<std::string> next_head() {
        for (;;) {
            auto end = buffer_.find("\r\n\r\n");
            if (end != std::string::npos) {
                auto head = buffer_.substr(0, end);
                buffer_.erase(0, end + 4);
                return head;
            }
            char part[4096];
            auto got = buffer_.size() < kMaxHead ? recv(fd_, part, sizeof part, 0) : 0;
            if (got <= 0) return std::nullopt;
            buffer_.append(part, static_cast<std::size_t>(got));
        }
    }

    int fd_;
    std::string buffer_;
};

int listen_on(const char* port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(std::atoi(port)));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0 || listen(fd, 128) < 0 ||
        getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) < 0) {
        std::perror(port);
        std::exit(1);
    }
    std::printf("listening on http://127.0.0.1:%u\n", ntohs(address.sin_port));
    std::fflush(stdout);
    return fd;
}

}  // namespace

int main(int argc, char** argv) {
    const char* from_environment = std::getenv("PORT");
    int listener = listen_on(argc > 1 ? argv[1] : from_environment != nullptr ? from_environment : "8080");
    static std::atomic<int> connections{0};
    for (;;) {
        int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0) {
            usleep(10000);  // out of descriptors: connections that end will give some back
            continue;
        }
        auto connection = std::make_shared<Connection>(fd);
        if (connections >= kMaxConnections) {
            connection->send({503, "too many connections\n"}, false, false);
            continue;
        }
        ++connections;
        std::thread([connection = std::move(connection)]() mutable {
            connection->serve();
            connection.reset();
            --connections;
        }).detach();
    }
}
