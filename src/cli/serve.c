/* SPDX-License-Identifier: MIT
 *
 * restante serve: the daemon. SIGTERM and SIGINT end it in order, SIGHUP reads the TLS
 * certificate and the server keys anew.
 */
#include "cli.h"

#include "restante/log.h"
#include "restante/node.h"

#include <malloc.h>
#include <signal.h>

#define MEMORY_KEPT   (16 << 20)
#define MEMORY_MAPPED (4 << 20)

static struct node *running; /* for the signal handlers */

static void on_stop(int signal)
{
	(void)signal;
	node_stop(running);
}

static void on_reload(int signal)
{
	(void)signal;
	node_reload(running);
}

static void handle_signals(void (*stop)(int), void (*reload)(int))
{
	struct sigaction stopping = {.sa_handler = stop, .sa_flags = SA_RESTART};
	struct sigaction reloading = {.sa_handler = reload, .sa_flags = SA_RESTART};

	sigaction(SIGTERM, &stopping, NULL);
	sigaction(SIGINT, &stopping, NULL);
	sigaction(SIGHUP, &reloading, NULL);
}

/* While the node starts, it waits: it would end the process. */
static void hold_reload(int how)
{
	sigset_t reload;

	sigemptyset(&reload);
	sigaddset(&reload, SIGHUP);
	pthread_sigmask(how, &reload, NULL);
}

/* A transaction takes a few MiB, for a moment. Getting them from the kernel each time, and
 * giving them back, costs as much as reading the transaction. What malloc maps by itself
 * always goes back, so it may not do that with every large piece. */
static void keep_memory(void)
{
	mallopt(M_TRIM_THRESHOLD, MEMORY_KEPT);
	mallopt(M_MMAP_THRESHOLD, MEMORY_MAPPED);
}

int cli_serve(const struct options *options)
{
	struct config config;
	enum err err;

	if (!cli_config(options, &config))
		return 1;
	keep_memory();
	log_thread_name("net");
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of that write */
	hold_reload(SIG_BLOCK);
	err = node_secrets_create(config.node_data_dir);
	if (err == ERR_OK)
		err = node_create(&config, &running);
	if (err == ERR_OK) {
		handle_signals(on_stop, on_reload);
		hold_reload(SIG_UNBLOCK);
		node_run(running);
		handle_signals(SIG_IGN, SIG_IGN); /* it is ending, and soon gone */
		node_destroy(&running);
	} else {
		log_error(stopped, "reason=%s", err_code(err));
	}
	config_free(&config);
	return err == ERR_OK ? 0 : 1;
}
