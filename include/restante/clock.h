/* SPDX-License-Identifier: MIT
 *
 * Time. Wall time is what goes on the wire and to disk; monotonic time is what
 * timeouts are made of.
 */
#ifndef RESTANTE_CLOCK_H
#define RESTANTE_CLOCK_H

#include <stdint.h>

#define SECONDS_MS INT64_C(1000)
#define MINUTES_MS (60 * SECONDS_MS)
#define HOURS_MS   (60 * MINUTES_MS)
#define DAYS_MS	   (24 * HOURS_MS)

int64_t clock_now_ms(void);	  /* since 1970, UTC */
int64_t clock_monotonic_ms(void); /* never goes back */

#endif
