/* SPDX-License-Identifier: MIT
 *
 * Locks, for the few tables that several threads use: rate limits, nonces, who is connected
 * where. Held for a look into a table, never while a callback runs or anything is waited for.
 * Everything else that threads share goes from one to the other through inboxes.
 */
#ifndef RESTANTE_LOCK_H
#define RESTANTE_LOCK_H

struct lock;

struct lock *lock_create(void);
void lock_destroy(struct lock **lock);
void lock_take(struct lock *lock);
void lock_give(struct lock *lock);

#endif
