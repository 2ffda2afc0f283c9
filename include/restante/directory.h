/* SPDX-License-Identifier: MIT
 *
 * Which net thread holds the session of a device, where there are several. Any thread.
 *
 * An entry is there before its session reads the mailbox for the first time, and it is looked
 * up after what is to be told was committed. So whoever is not found, or found at a thread that
 * no longer has the session, reads all of it from the store.
 */
#ifndef RESTANTE_DIRECTORY_H
#define RESTANTE_DIRECTORY_H

#include <stdbool.h>
#include <stdint.h>

struct directory;

struct directory *directory_create(void);
void directory_destroy(struct directory **directory); /* with entries in it, too */

/* From now on this holder has the session of the device. Returns its number: later ones have
 * higher numbers. Where the store counts sockets (op_socket_open) it is socket_key, so that
 * there is one order; else socket_key is 0. Returns 0 where a later session is there already,
 * and changes nothing. *former_out: who had one until now, NULL for nobody. */
int64_t directory_enter(struct directory *directory, int64_t generation, int64_t socket_key,
			void *holder, void **former_out);
/* The session of this number has ended; nothing, where there is a later one. */
void directory_leave(struct directory *directory, int64_t generation, int64_t number);
/* Has there been no later session? */
bool directory_has(struct directory *directory, int64_t generation, int64_t number);
/* NULL: nobody. */
void *directory_find(struct directory *directory, int64_t generation);

#endif
