/* setup.h: the commands that need no running node: `init`, `token new`. */
#ifndef IO_SETUP_H
#define IO_SETUP_H

#include "node/io/options.h"

/* Writes a commented configuration and makes the node's key: under [directory] (NULL: the usual
 * places), with [has_unit] a systemd unit as well. What exists is left alone. The exit code. */
int setup_init(const struct options *options, const char *directory, bool has_unit);

/* Prints a token made before its mesh. The exit code. */
int setup_token_new(void);

/* Every option with its help and its default, commented out, as a YAML file; node.data is set to
 * [data] when that is not NULL. [options] are at their defaults. */
void setup_write_config(const struct options *options, const char *data, struct mn_writer *to);

#endif
