/* SPDX-License-Identifier: MIT
 *
 * What this machine and the libraries give without a node: each of these measures one thing and
 * prints one JSON object, but for plans. Sizes are like those of ./dev bench.
 */
#ifndef LIMITS_H
#define LIMITS_H

#include <stddef.h>
#include <stdint.h>

uint64_t wall_ns(void);
uint64_t cpu_ns(void); /* of this process */

/* Rows of a mailbox, appended and deleted, in the database of a store in this folder. */
void limit_store(const char *folder, size_t rows);
/* Bytes that one end writes and the other one reads. */
void limit_tls(const char *certificate, const char *key, size_t bytes);
void limit_ed25519(size_t count);
/* A server that answers every frame and every request with {}; prints its port and goes on
 * until it is ended. */
_Noreturn void limit_serve(const char *certificate, const char *key);

/* The plans of statements on mailboxes and outboxes, each a line with its text, and lines that
 * begin with a tab. Nothing is changed. The domain has two accounts at least. */
void limit_plans(const char *data_dir, const char *url, const char *domain);
/* Two batches of housekeeping, and how long the second one takes. */
void limit_expire(const char *data_dir, const char *url, const char *domain, size_t limit);

#endif
