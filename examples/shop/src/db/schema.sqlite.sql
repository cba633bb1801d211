CREATE TABLE IF NOT EXISTS products (
    id            INTEGER PRIMARY KEY,
    name          TEXT NOT NULL,
    category      TEXT NOT NULL,
    price_cents   INTEGER NOT NULL CHECK (price_cents >= 0),
    weight_grams  INTEGER NOT NULL CHECK (weight_grams >= 0)
);
CREATE TABLE IF NOT EXISTS lots (
    product_id    INTEGER NOT NULL REFERENCES products,
    received_day  INTEGER NOT NULL,
    quantity      INTEGER NOT NULL,
    ships_in_days INTEGER NOT NULL,
    PRIMARY KEY (product_id, received_day)
);
CREATE TABLE IF NOT EXISTS users (
    id              INTEGER PRIMARY KEY,
    login           TEXT NOT NULL UNIQUE,
    name            TEXT NOT NULL,
    email           TEXT NOT NULL,
    salt            TEXT NOT NULL,
    password_sha256 TEXT NOT NULL,
    points          INTEGER NOT NULL,
    months_inactive INTEGER NOT NULL,
    is_admin        INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS accounts (
    user_id       INTEGER NOT NULL REFERENCES users,
    pot           TEXT NOT NULL CHECK (pot IN ('wallet', 'gifts')),
    cents         INTEGER NOT NULL,
    PRIMARY KEY (user_id, pot)
);
CREATE TABLE IF NOT EXISTS sessions (
    id            INTEGER PRIMARY KEY,
    token         TEXT NOT NULL UNIQUE,
    user_id       INTEGER REFERENCES users
);
CREATE TABLE IF NOT EXISTS carts (
    session_id    INTEGER NOT NULL,
    product_id    INTEGER NOT NULL REFERENCES products,
    quantity      INTEGER NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (session_id, product_id)
);
CREATE TABLE IF NOT EXISTS coupons (
    code          TEXT PRIMARY KEY,
    kind          TEXT NOT NULL CHECK (kind IN ('percent', 'freight')),
    value         INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS orders (
    id            INTEGER PRIMARY KEY,
    user_id       INTEGER REFERENCES users,
    status        TEXT NOT NULL,
    total_cents   INTEGER NOT NULL,
    coupon        TEXT
);
CREATE INDEX IF NOT EXISTS orders_placed ON orders (id) WHERE status = 'placed';
CREATE TABLE IF NOT EXISTS order_lines (
    order_id      INTEGER NOT NULL REFERENCES orders,
    product_id    INTEGER NOT NULL REFERENCES products,
    quantity      INTEGER NOT NULL,
    unit_cents    INTEGER NOT NULL,
    PRIMARY KEY (order_id, product_id)
);
CREATE TABLE IF NOT EXISTS reviews (
    id            INTEGER PRIMARY KEY,
    product_id    INTEGER NOT NULL REFERENCES products,
    rating        INTEGER NOT NULL CHECK (rating BETWEEN 1 AND 5),
    body          TEXT NOT NULL
);
