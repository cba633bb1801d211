// An exception that nobody catches, thrown below constructors, destructors and a handler for another type.
#include <stdexcept>
#include <string>

static volatile int sink;

struct Account {
    long balance;
    explicit Account(long balance) : balance(balance) { sink = static_cast<int>(balance); }
    ~Account() { sink = 0; }
    long withdraw(long amount) {
        long rest = balance - amount;
        bool enough = rest >= 0;
        sink = enough;
        if (!enough) throw std::runtime_error("not enough");
        return rest;
    }
};

__attribute__((noinline)) static long transfer(Account &from, Account &to, long amount) {
    long before = from.balance;
    long rest = from.withdraw(amount);
    to.balance += before - rest;
    return rest;
}

__attribute__((noinline)) static long guarded(long amount) noexcept {
    Account first(10), second(20);
    long result = 0;
    try {
        result = transfer(first, second, amount);
    } catch (const std::logic_error &error) {
        sink = static_cast<int>(std::string(error.what()).size());
    }
    return result + second.balance;
}

int main(int argc, char **) {
    long amount = argc * 11L;
    return static_cast<int>(guarded(amount));
}
