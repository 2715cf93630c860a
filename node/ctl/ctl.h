/* ctl.h: meshctl's inside. One table (commands.c) names every command with its arguments, options
 * and help; parsing, --help, the man page and shell completion all come from it, so they cannot
 * drift.
 *
 * Data goes to [out], everything else to [err]. Every function that returns an int returns an exit
 * code, and whoever returns another one than CTL_OK has said why. */
#ifndef CTL_H
#define CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "node/json/json.h"
#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/memory.h"

/* Exit codes; `check` alone uses 0, 1, 2, 3 as Nagios does. */
enum ctl_exit {
    CTL_OK = 0,
    CTL_FAILED = 1,
    CTL_USAGE = 2,
    CTL_UNREACHABLE = 3,
    CTL_DENIED = 4,
    CTL_NOT_FOUND = 5,
    CTL_CONFLICT = 6,
    CTL_TIMEOUT = 7,
    CTL_PARTIAL = 8
};

enum ctl_format {
    CTL_TABLE = 0,
    CTL_WIDE,
    CTL_JSON,
    CTL_JSONL,
    CTL_PLAIN /* tab-separated, no header, values as they are in JSON */
};

#define CTL_ARGS_MAX 64
#define CTL_VALUES_MAX 64
#define CTL_OPTIONS_MAX 8 /* of one command, the ending zero included */
#define CTL_TIMEOUT_DEFAULT 30000

struct ctl_option {
    const char *name;  /* "--count" */
    const char *value; /* what it takes, "N"; NULL: it is a flag */
    const char *help;
};

struct ctl;

enum ctl_attribute {
    CTL_CAN_WATCH = 1, /* -w */
    CTL_CAN_FOLLOW = 2 /* -f */
};

struct ctl_command {
    const char *words; /* "nodes wait" */
    const char *args;  /* "ID", "[NAME]", "" */
    int args_min, args_max;
    unsigned attributes;
    const char *help;
    int (*run)(struct ctl *ctl);
    struct ctl_option options[CTL_OPTIONS_MAX]; /* ends with a zero */
};

struct ctl_value {
    const char *name, *value;
};

/* Why there was no answer; for those who try again instead of telling it. */
struct ctl_failure {
    const char *code, *hint;
    char text[1024];
};

/* One invocation. Zeroed but for [out], [err] and what the environment says. */
struct ctl {
    FILE *out, *err;
    bool is_terminal, has_colour; /* of [out] */

    const struct ctl_command *command;
    const char *args[CTL_ARGS_MAX];
    int args_count;
    char **rest; /* what follows `--`, NULL-terminated; NULL: nothing does */
    struct ctl_value values[CTL_VALUES_MAX];
    int values_count;

    enum ctl_format format;
    const char *socket, *data, *server, *token_file, *context;
    const char *config_home; /* $XDG_CONFIG_HOME, or $HOME/.config; NULL: neither is known */
    unsigned timeout_ms;     /* of one request; 0: none */
    bool has_timeout;        /* it was asked for */
    bool is_quiet, is_watching, is_following;

    char socket_path[4096]; /* once it is known */
    char *authorization;    /* header with the token, once it was read; owned */
    struct ctl_failure failure;
    void *easy;            /* libcurl's, kept for the next request */
    struct mn_arena texts; /* of the whole invocation */
    struct mn_arena arena; /* reset between the rounds of a command that repeats */
    struct json_parser *parser;
};

/* run.c: the whole program, but for what it takes from the process. */
int ctl_main(struct ctl *ctl, int argc, char **argv);

/* ---- commands.c ---- */

extern const struct ctl_command ctl_commands[];
extern const struct ctl_option ctl_global_options[];

/* ---- parse.c ---- */

/* Fills [ctl]. *[is_done]: it was a question about meshctl itself, and is answered. */
int ctl_parse(struct ctl *ctl, int argc, char **argv, bool *is_done);

/* Value of an option of the command; NULL: not given. A flag's value is "". */
const char *ctl_value(const struct ctl *ctl, const char *name);

/* "1500ms", "5s", "2m", "1h", "7d" to milliseconds; digits within bounds. */
bool ctl_parse_duration(const char *text, uint64_t *ret_ms);
bool ctl_parse_number(const char *text, uint64_t least, uint64_t most, uint64_t *ret);

/* ---- context.c ---- */

/* Reads what --context names into [server] and [token_file], unless they were given. */
int ctl_context_load(struct ctl *ctl);

/* ---- secret.c ---- */

#define CTL_SECRET_MAX 4096 /* bytes of the file, the ending NUL of its text included */

/* The one line that [path] holds, without what is blank around its end, into [text] of
 * CTL_SECRET_MAX bytes. False: there is none, with errno; 0: it is empty, too long, or more than a
 * line. */
bool ctl_secret_read(const char *path, char *text);

/* ---- help.c, completion.c ---- */

/* Of all commands that begin with [words]; NULL: of the whole. */
void ctl_help(struct ctl *ctl, const char *words);
void ctl_man(struct ctl *ctl);
int ctl_completion(struct ctl *ctl);

/* ---- http.c: one request to the node ---- */

struct ctl_request {
    const char *method, *path;
    struct mn_span body;        /* JSON, may be empty */
    const char *const *headers; /* "Name: value", NULL-terminated; may be NULL */
    /* Called with each piece of the answer instead of keeping it; NULL: it is kept. False: stop. */
    bool (*on_bytes)(struct ctl *ctl, struct mn_span bytes, void *context);
    void *context;
};

struct ctl_answer {
    long status;         /* of HTTP */
    struct mn_buf *body; /* the caller's ref; empty with on_bytes */
    char session[256];   /* mcp-session-id, if there was one */
};

/* CTL_OK: there was an answer, whatever it says. Else nothing was said yet: see ctl->failure, and
 * ctl_tell_failure(), which returns [status]. */
int ctl_http(struct ctl *ctl, const struct ctl_request *request, struct ctl_answer *ret);
int ctl_tell_failure(struct ctl *ctl, int status);
void ctl_http_done(struct ctl *ctl);

/* The node's socket: --socket, --data, or the first one there is of this host's usual places. */
const char *ctl_socket_path(struct ctl *ctl);

/* ---- api.c: /v1 ---- */

/* [prefix][name][suffix] with [name] percent-encoded. */
const char *ctl_path(struct ctl *ctl, const char *prefix, const char *name, const char *suffix);

/* GET [path] and its JSON. An error answer is told, and its exit code returned. */
int ctl_get(struct ctl *ctl, const char *path, const struct json **ret);

/* The same with a method and a body. */
int ctl_do(struct ctl *ctl, const char *method, const char *path, struct mn_span body,
           const struct json **ret);

/* An answer of status 400 and more, [root] its JSON or NULL, in the node's own words. */
int ctl_tell_refusal(struct ctl *ctl, long status, const struct json *root);

/* Tells an error: `code`, text for people, and the next command to try. Returns [exit_code]. */
int ctl_error(struct ctl *ctl, int exit_code, const char *code, const char *hint,
              const char *format, ...) __attribute__((format(printf, 5, 6)));

/* NULL: not JSON. It lives until the arena is reset. */
const struct json *ctl_parse_json(struct ctl *ctl, struct mn_span text);

/* ---- text.c: values as text for people ---- */

/* Members by path "a.b"; NULL, 0, false or empty when there is none. */
const struct json *ctl_find(const struct json *object, const char *path);
bool ctl_is_true(const struct json *object, const char *path);
double ctl_number(const struct json *object, const char *path);
struct mn_span ctl_string(const struct json *object, const char *path);

/* The string at [path] as a C string that a terminal can show, in the arena. */
const char *ctl_show(struct ctl *ctl, const struct json *object, const char *path);
const char *ctl_show_span(struct ctl *ctl, struct mn_span text);

const char *ctl_show_age(struct ctl *ctl, double ms);  /* "5s", "3m2s", "2d4h" */
const char *ctl_show_time(struct ctl *ctl, double ms); /* "0.42 ms", "12.3 ms", "4.56 s" */

/* The escape sequence for a word such as "alive" or "dead", "" without colour; and its end. */
const char *ctl_colour(const struct ctl *ctl, const char *word);
const char *ctl_colour_end(const struct ctl *ctl);

bool ctl_wants_json(const struct ctl *ctl);

/* ---- table.c: lists and objects ---- */

enum ctl_as {
    CTL_AS_TEXT = 0,
    CTL_AS_ID,    /* eight digits, all of them with -o wide */
    CTL_AS_MS,    /* a duration in ms */
    CTL_AS_AGE,   /* the same, as days, hours, minutes or seconds */
    CTL_AS_BOOL,  /* yes, no */
    CTL_AS_STATE, /* a word that has a colour */
    CTL_AS_TIME   /* RFC 3339 down to the second */
};

struct ctl_column {
    const char *title, *key; /* key: "link.rtt_ms" looks inside */
    enum ctl_as as;
    bool is_wide; /* only with -o wide, and in -o plain */
};

/* Prints root.items; JSON formats print what came. CTL_PARTIAL when root.missing is not empty. */
int ctl_print_list(struct ctl *ctl, const struct json *root, const struct ctl_column *columns,
                   size_t columns_count);

/* A table of the items of an array that stands inside an answer. */
void ctl_print_rows(struct ctl *ctl, const struct json *items, const struct ctl_column *columns,
                    size_t columns_count);

/* Prints all members of [object], one per line; JSON formats print what came. */
int ctl_print_object(struct ctl *ctl, const struct json *object);
void ctl_print_json(struct ctl *ctl, const struct json *value);

/* Says so on [err] unless quiet, and prints [root] in the JSON formats. */
int ctl_print_done(struct ctl *ctl, const struct json *root, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* decision_shown.c: is the answer or file [root] what the certificate proves? */
struct decision_view;
bool ctl_decision_is_as_shown(const struct json *root, const struct decision_view *view);

/* All of stdin, until the arena is reset (cmd_call.c). */
struct mn_span ctl_read_stdin(struct ctl *ctl);

/* Runs [once] every two seconds on a cleared screen; only once without --watch. */
int ctl_watch(struct ctl *ctl, int (*once)(struct ctl *ctl));

/* {"api","kind": and stays open; ctl_json_end() closes and prints it. */
void ctl_json_begin(struct mn_writer *writer, const char *kind);
void ctl_json_str(struct mn_writer *writer, const char *key, const char *text); /* NULL: null */
void ctl_json_end(struct ctl *ctl, struct mn_writer *writer);

/* Prints findings.items as status, check and doctor do. */
void ctl_print_findings(struct ctl *ctl, const struct json *root);

/* ---- the commands, by area ---- */

int ctl_status(struct ctl *ctl);
int ctl_check(struct ctl *ctl);
int ctl_config_show(struct ctl *ctl);
int ctl_version(struct ctl *ctl);
int ctl_nodes(struct ctl *ctl);
int ctl_nodes_show(struct ctl *ctl);
int ctl_nodes_wait(struct ctl *ctl);
int ctl_nodes_pending(struct ctl *ctl);
int ctl_nodes_approve(struct ctl *ctl);
int ctl_nodes_deny(struct ctl *ctl);
int ctl_nodes_revoke(struct ctl *ctl);
int ctl_nodes_remove(struct ctl *ctl);
int ctl_keys_ls(struct ctl *ctl);
int ctl_tools(struct ctl *ctl);
int ctl_tools_show(struct ctl *ctl);
int ctl_tools_find(struct ctl *ctl);
int ctl_tools_pins(struct ctl *ctl);
int ctl_tools_approve(struct ctl *ctl);
int ctl_tools_quarantine(struct ctl *ctl);
int ctl_tools_unpin(struct ctl *ctl);
int ctl_views(struct ctl *ctl);
int ctl_views_show(struct ctl *ctl);
int ctl_views_apply(struct ctl *ctl);
int ctl_views_rm(struct ctl *ctl);
int ctl_route(struct ctl *ctl);
int ctl_call(struct ctl *ctl);
int ctl_servers(struct ctl *ctl);
int ctl_servers_show(struct ctl *ctl);
int ctl_servers_add(struct ctl *ctl);
int ctl_servers_rm(struct ctl *ctl);
int ctl_servers_restart(struct ctl *ctl);
int ctl_servers_names(struct ctl *ctl);
int ctl_servers_release(struct ctl *ctl);
int ctl_servers_logs(struct ctl *ctl);
int ctl_events(struct ctl *ctl);
int ctl_token_create(struct ctl *ctl);
int ctl_token_ls(struct ctl *ctl);
int ctl_token_revoke(struct ctl *ctl);
int ctl_state_ls(struct ctl *ctl);
int ctl_state_get(struct ctl *ctl);
int ctl_state_put(struct ctl *ctl);
int ctl_state_rm(struct ctl *ctl);
int ctl_state_incr(struct ctl *ctl);
int ctl_state_watch(struct ctl *ctl);
int ctl_lease_grant(struct ctl *ctl);
int ctl_lease_keepalive(struct ctl *ctl);
int ctl_lease_ls(struct ctl *ctl);
int ctl_lease_revoke(struct ctl *ctl);

/* [path] with how long the node may wait for the others. */
const char *ctl_state_query(struct ctl *ctl, const char *path);
int ctl_consensus_status(struct ctl *ctl);
int ctl_consensus_weights(struct ctl *ctl);
int ctl_consensus_weights_auto(struct ctl *ctl);
int ctl_consensus_weights_set(struct ctl *ctl);
int ctl_consensus_voters(struct ctl *ctl);
int ctl_consensus_voters_auto(struct ctl *ctl);
int ctl_consensus_voters_add(struct ctl *ctl);
int ctl_consensus_voters_rm(struct ctl *ctl);
int ctl_consensus_transfer(struct ctl *ctl);
int ctl_consensus_verify(struct ctl *ctl);
int ctl_consensus_recover(struct ctl *ctl);
int ctl_client(struct ctl *ctl);
int ctl_doctor(struct ctl *ctl);
int ctl_consensus_log(struct ctl *ctl);
int ctl_consensus_evidence(struct ctl *ctl);
int ctl_consensus_policy(struct ctl *ctl);
int ctl_consensus_show(struct ctl *ctl);
int ctl_consensus_propose(struct ctl *ctl);
int ctl_consensus_vote(struct ctl *ctl);

#endif
