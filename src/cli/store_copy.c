/* SPDX-License-Identifier: MIT
 *
 * restante store copy: carries a database over to another one, of either kind. How far it is
 * goes to standard error, what came of it to standard output.
 */
#include "cli.h"

#include "restante/clock.h"
#include "restante/node.h"
#include "restante/store_copy.h"

#include <stdio.h>
#include <unistd.h>

#define BAR_WIDTH      24
#define BAR_EVERY_MS   100
#define LINE_EVERY_MS  (10 * SECONDS_MS)
#define SHORT_OF_BYTES 32

struct display {
	bool terminal;
	const char *table; /* shown last */
	bool comparing;
	int64_t next_ms;
};

/* --- how far it is ------------------------------------------------------------------------ */

static const char *size_text(int64_t bytes, char out[SHORT_OF_BYTES])
{
	static const char *const units[] = {"bytes", "KB", "MB", "GB", "TB"};
	double size = (double)bytes;
	size_t i = 0;

	while (size >= 1000 && i < 4) {
		size /= 1000;
		i++;
	}
	snprintf(out, SHORT_OF_BYTES, "%.*f %s", i == 0 ? 0 : 1, size, units[i]);
	return out;
}

static const char *doing(const struct copy_progress *progress)
{
	return progress->comparing ? "comparing" : "copying";
}

static void draw_bar(const struct copy_progress *progress)
{
	double part =
		progress->total > 0 ? (double)progress->rows / (double)progress->total : 1;
	int full = (int)(part * BAR_WIDTH);
	char size[SHORT_OF_BYTES];

	fprintf(stderr, "\r[");
	for (int i = 0; i < BAR_WIDTH; i++)
		fputc(i < full ? '#' : '.', stderr);
	fprintf(stderr, "] %3d%%  %s %s, %lld of %lld rows, %s\033[K", (int)(part * 100),
		doing(progress), progress->table, (long long)progress->table_rows,
		(long long)progress->table_total, size_text(progress->bytes, size));
}

static void print_line(const struct copy_progress *progress)
{
	char size[SHORT_OF_BYTES];

	fprintf(stderr, "%s %s: %lld of %lld rows; %s in all\n", doing(progress),
		progress->table, (long long)progress->table_rows,
		(long long)progress->table_total, size_text(progress->bytes, size));
}

static void show(void *context, const struct copy_progress *progress)
{
	struct display *display = context;
	int64_t now_ms = clock_monotonic_ms();
	bool is_next = progress->table_total > 0 && (display->table != progress->table ||
						     display->comparing != progress->comparing);

	if (now_ms < display->next_ms && (display->terminal || !is_next))
		return;
	display->next_ms = now_ms + (display->terminal ? BAR_EVERY_MS : LINE_EVERY_MS);
	display->table = progress->table;
	display->comparing = progress->comparing;
	if (display->terminal)
		draw_bar(progress);
	else
		print_line(progress);
}

static void clear(const struct display *display)
{
	if (display->terminal && display->table != NULL)
		fprintf(stderr, "\r\033[K");
}

/* --- what came of it ---------------------------------------------------------------------- */

static void print_sum(const char *what, const struct copy_sum *sum)
{
	char hex[2 * SHA256_SIZE + 1];

	hex_encode(bytes_of(sum->digest, SHA256_SIZE), hex);
	printf("%-14s  %10lld  %s", what, (long long)sum->rows, hex);
}

static void print_results(const struct store_copy *copy)
{
	if (copy->n_results > 0)
		printf("%-14s  %10s  %s\n", "TABLE", "ROWS", "SHA-256");
	for (size_t i = 0; i < copy->n_results; i++) {
		const struct copy_result *result = &copy->results[i];

		print_sum(result->table, &result->from);
		printf("\n");
		if (result->same)
			continue;
		print_sum("  in the copy", &result->to);
		printf("  DIFFERS\n");
	}
}

static int print_end(const struct store_copy *copy, enum err err)
{
	print_results(copy);
	if (copy->differs)
		fprintf(stderr, "restante: the copy differs from what was copied: run this "
				"again, which copies everything anew\n");
	else if (err != ERR_OK)
		fprintf(stderr, "restante: not copied\n");
	else
		printf("The copy is whole. Let store.url name it before the node is started "
		       "again.\n");
	if (err == ERR_OK && copy->sign != NULL)
		printf("It counts as restored from a backup, as what was copied does: %s.\n",
		       copy->sign);
	return err == ERR_OK ? 0 : 1;
}

static enum err carry(const struct options *options, struct config *config,
		      struct store_copy *copy)
{
	struct display display = {.terminal = isatty(STDERR_FILENO) != 0};
	enum err err;

	copy->arena = config->arena;
	copy->progress = show;
	copy->context = &display;
	node_store_config(config, &copy->from);
	node_store_config(config, &copy->to);
	copy->from.url = options->word;
	copy->to.url = options->second;
	err = store_copy(copy);
	clear(&display);
	return err;
}

int cli_store_copy(const struct options *options)
{
	struct store_copy copy = {0};
	struct config config;
	int status;

	if (options->word[0] == '\0' || options->second[0] == '\0') {
		fprintf(stderr, "restante: name the file, such as data/restante.db\n");
		return 2;
	}
	if (!cli_config(options, &config))
		return 1;
	status = print_end(&copy, carry(options, &config, &copy));
	config_free(&config);
	return status;
}
