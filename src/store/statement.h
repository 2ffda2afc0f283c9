/* SPDX-License-Identifier: MIT
 *
 * The cache of prepared statements behind query_begin(): for those who open and close
 * connections.
 */
#ifndef STORE_STATEMENT_H
#define STORE_STATEMENT_H

struct statement;

void statements_free(struct statement **statements);

#endif
