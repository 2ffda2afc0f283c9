/* SPDX-License-Identifier: MIT
 *
 * What several commands print: times, and about server keys.
 */
#include "cli.h"

#include "restante/clock.h"

#include <stdio.h>
#include <time.h>

const char *cli_date(int64_t ms, char out[DATE_SIZE])
{
	time_t seconds = (time_t)(ms / SECONDS_MS);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(out, DATE_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return out;
}

const char *cli_key_phase(struct arena *arena, const struct own_document *own, size_t i)
{
	const struct server_key *key = &own->document.keys[i];
	char text[DATE_SIZE];

	switch (federation_key_phase(own, i)) {
	case KEY_COMING:
		return arena_printf(arena, "from %s", cli_date(key->not_before_ms, text));
	case KEY_LEAVING:
		return arena_printf(arena, "until %s", cli_date(key->not_after_ms, text));
	case KEY_SIGNS:
		return "signs";
	case KEY_ENDED:
		break;
	}
	return "ended";
}

void cli_print_txt(const struct own_document *own, size_t i)
{
	const struct server_key *key = &own->document.keys[i];
	struct text txt;

	text_init(&txt, own->arena, 128);
	txt_write(&txt, key->kid, key->public_key);
	printf("_restante.%s. IN TXT \"%s\"\n", own->config->node_domain, txt.data);
}
