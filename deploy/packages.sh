# SPDX-License-Identifier: MIT
#
# The Debian 12 packages of Restante, by what they are needed for. Read by ./dev and by
# whatever else installs them, so that they are listed once. Bash arrays.
# shellcheck shell=bash disable=SC2034

BUILD_PACKAGES=(
    build-essential cmake ninja-build pkg-config
    libwebsockets-dev libwebsockets-evlib-uv libuv1-dev
    libcurl4-openssl-dev libc-ares-dev libssl-dev
    libsqlite3-dev libpq-dev
    libjansson-dev libyaml-dev libjwt-dev libsodium-dev uthash-dev
)

# ./dev run: the lab's certificate authority, its name server and the demo's client.
LAB_PACKAGES=(
    openssl dnsmasq-base ca-certificates
    python3 python3-nacl python3-websocket
)

# ./dev bench --store postgres.
POSTGRES_PACKAGES=(postgresql-15)
# ./dev bench --against: the servers, what they need for names and SQLite, and epmd's package.
PROSODY_PACKAGES=(prosody lua-unbound lua-dbi-sqlite3)
EJABBERD_PACKAGES=(ejabberd erlang-p1-sqlite3 erlang-base)

TEST_PACKAGES=(
    libcmocka-dev clang libclang-rt-14-dev
    python3-pytest python3-pytest-xdist python3-cryptography
    unbound ldnsutils
    "${POSTGRES_PACKAGES[@]}" "${PROSODY_PACKAGES[@]}"
)

CHECK_PACKAGES=(clang clang-format clang-tidy libcmocka-dev python3)
