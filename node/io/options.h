/* options.h: one table of options drives the configuration file, the environment, the command line,
 * the help text, the manual page and shell completion, so that they cannot disagree. Each value
 * remembers where it came from. Flag > environment > file > default.
 *
 * A program brings its table (see config.h); this file knows types, texts and precedence. */
#ifndef IO_OPTIONS_H
#define IO_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/status.h"
#include "proto/base/time.h"

#define OPTIONS_ERROR_SIZE 1024
#define OPTIONS_ITEMS_MAX 256   /* items of a list */
#define OPTIONS_VALUE_MAX 16384 /* bytes of one value */

enum option_type {
    OPTION_TEXT = 1,
    OPTION_BOOL,     /* true, false */
    OPTION_DURATION, /* 50ms 5s 10m 2h 7d */
    OPTION_CHOICE,   /* one of [choices] */
    OPTION_ADDRESS,  /* host:port, [::1]:port */
};

enum option_attribute {
    OPTION_IS_LIST = 1,   /* any number; in the environment separated by commas */
    OPTION_IS_SECRET = 2, /* never shown; in a file only as ${env:X} or ${file:/path} */
};

struct option_spec {
    const char *key;  /* "mesh.listen"; in the environment MESHNODE_MESH_LISTEN */
    const char *flag; /* "listen" for --listen; NULL: none */
    enum option_type type;
    uint32_t attributes;
    const char *fallback; /* NULL: none. Lists: separated by commas */
    const char *choices;  /* "a|b|c", for OPTION_CHOICE; NULL else */
    const char *argument; /* what help calls the value */
    const char *help;
};

enum option_rank { OPTION_DEFAULT = 0, OPTION_FILE, OPTION_ENVIRONMENT, OPTION_FLAG };

struct option_value {
    char **items;
    uint32_t items_count; /* 0: not set */
    enum option_rank rank;
    char *origin; /* "default", "environment MESHNODE_X", "flag --x", "FILE:LINE" */
};

struct options {
    const struct option_spec *specs;
    struct option_value *values; /* as many as specs */
    uint32_t count;
};

struct options_error {
    char text[OPTIONS_ERROR_SIZE]; /* one line: where, what, and what would be right */
};

/* All at their defaults. */
void options_init(struct options *options, const struct option_spec *specs, uint32_t count);

/* Wipes secrets. */
void options_done(struct options *options);

/* The index of a key; MN_NOT_FOUND. */
MN_MUST_USE mn_status options_find(const struct options *options, struct mn_span key,
                                   uint32_t *ret);

#define OPTIONS_KEY_SIZE 64 /* of a key, its NUL included */

/* The known key, or section, that [key] was probably meant to be. Returns [ret]. */
const char *options_nearest(const struct options *options, const char *key,
                            char ret[OPTIONS_KEY_SIZE]);

/* Sets a value, unless one of higher rank is there. A scalar takes exactly one item; a list of
 * rank OPTION_FLAG grows with each call, others are replaced. MN_CONFIG: [error] says what is wrong
 * with it, without [origin]. */
MN_MUST_USE mn_status options_set(struct options *options, uint32_t index, enum option_rank rank,
                                  const char *origin, const struct mn_span *items,
                                  uint32_t items_count, struct options_error *error);

/* Sets what the environment names (MESHNODE_SECTION_KEY). An unknown MESHNODE_ name is an error. */
MN_MUST_USE mn_status options_read_environment(struct options *options, char **environment,
                                               struct options_error *error);

/* Reads flags from argv[1] on. [extra] names flags outside the table; their value, or "" when
 * [has_argument] is false, is left in [value]. Words that are no flags end up in [ret_words]
 * (argc of them at most). */
struct options_extra {
    const char *flag, *argument, *help;
    bool has_argument;
    const char *value; /* NULL: not given */
};

MN_MUST_USE mn_status options_read_flags(struct options *options, int argc, char **argv,
                                         struct options_extra *extra, uint32_t extra_count,
                                         char **ret_words, uint32_t *ret_words_count,
                                         struct options_error *error);

/* Values. The type must fit; lists by items and items_count of options->values[index]. */
const char *options_text(const struct options *options, uint32_t index); /* "" when not set */
bool options_bool(const struct options *options, uint32_t index);
mn_time options_duration(const struct options *options, uint32_t index);

/* MN_CONFIG when it is not digits and one of ms s m h d. */
MN_MUST_USE mn_status options_parse_duration(struct mn_span text, mn_time *ret);

/* "host:port" with a port of 0..65535. */
bool options_is_address(struct mn_span text);

/* Text made from the table. */
void options_write_help(const struct options *options, const struct options_extra *extra,
                        uint32_t extra_count, struct mn_writer *to);
void options_write_man(const struct options *options, const struct options_extra *extra,
                       uint32_t extra_count, struct mn_writer *to);
/* One item of a value, without what is secret in it. */
void options_write_shown(const struct option_spec *spec, const char *item, struct mn_writer *to);
void options_write_values(const struct options *options, struct mn_writer *to);
void options_write_flags(const struct options *options, const struct options_extra *extra,
                         uint32_t extra_count, struct mn_writer *to); /* "--a --b ..." */

#endif
