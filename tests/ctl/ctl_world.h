/* ctl_world.h: meshctl as a function, and a node on a Unix socket that answers what it is told. */
#ifndef CTL_WORLD_H
#define CTL_WORLD_H

#include <stdbool.h>

#include "node/ctl/ctl.h"

/* A directory of its own with a node's admin.sock in it. */
void fake_begin(void);
void fake_end(void);
const char *fake_data(void);   /* the directory */
const char *fake_socket(void); /* the socket in it */

/* Answers to [target] with that method from now on; texts are borrowed. What it was not told is a
 * 404. [status] 0: the connection is cut after the request. */
void fake_answers(const char *method, const char *target, int status, const char *body);

/* The same with more response headers, "Name: value\r\n" each. */
void fake_answers_with(const char *method, const char *target, int status, const char *headers,
                       const char *body);

/* The response has no length and is cut in the middle instead of ending. */
void fake_cuts(const char *method, const char *target, const char *body);
const char *fake_heard(void);    /* head and body of the last request */
unsigned fake_heard_count(void); /* requests so far */

/* Runs `meshctl WORDS...` (split at blanks; \001 in a word stands for a blank) with --data of the
 * fake node. Returns the exit code; its output is kept until the next run. */
int meshctl(const char *line);

/* The same without --data and with what the process would be given. */
int meshctl_with(struct ctl ctl, const char *line);
extern const char *out, *err;

#define assert_out(text) ck_assert_str_eq(out, text)
#define assert_err(text) ck_assert_str_eq(err, text)
#define assert_in(text, part) ck_assert_msg(strstr(text, part) != NULL, "%s\nhas no %s", text, part)

#endif
