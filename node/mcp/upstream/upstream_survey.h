/* upstream_survey.h: asks a server for its lists as clients with certain capabilities, or which
 * know certain extensions, see them, beside those that it shows to us. A modern server hears them
 * in the request; of a legacy one each ask needs a session of its own: a child, or HTTP session,
 * that is opened for its lists and closed after them. First everything is declared; only if that
 * makes a difference, each alone, and only if that explains not all, some together. The extensions
 * are MCP Apps, tasks, and those that the server declares itself.
 *
 * What breaks because of a survey costs the server nothing but the survey: time is bounded, its
 * normal lists stay, and one that breaks twice is left in peace for an hour. Its first offer
 * waits for the first survey, up to UPSTREAM_SURVEY_HOLD, so that replicas do not differ while one
 * of them is asked. */
#ifndef UPSTREAM_SURVEY_H
#define UPSTREAM_SURVEY_H

#include "node/mcp/upstream/upstream.h"

#define UPSTREAM_SURVEY_TIMEOUT (30 * MN_SEC)      /* for the lists of one set */
#define UPSTREAM_SURVEY_HOLD (5 * MN_SEC)          /* that a first offer waits */
#define UPSTREAM_SURVEY_PAUSE (2 * MN_SEC)         /* between two surveys that cost sessions, */
#define UPSTREAM_SURVEY_PAUSE_MODERN (250 * MN_MS) /* or that do not, or one of a few in a row */
#define UPSTREAM_SURVEY_BURST 4u                   /* so few */
#define UPSTREAM_SURVEY_EARNED MN_MINUTE           /* of quiet, for one more of these */
#define UPSTREAM_SURVEY_EARNED_MODERN (5 * MN_SEC)
#define UPSTREAM_SURVEY_LOOK (10 * MN_MINUTE) /* at an endpoint that costs sessions */
#define UPSTREAM_SURVEY_PAUSES 32       /* it grows to so many while lists change all the time */
#define UPSTREAM_SURVEY_RETRY MN_MINUTE /* after a failure, doubling */
#define UPSTREAM_SURVEY_BREAKS 2        /* of the server, during one survey after the other */
#define UPSTREAM_SURVEY_BROKEN MN_HOUR  /* after these, doubling */
#define UPSTREAM_SURVEY_DOUBLINGS 4

/* Its normal lists are complete, and in server->plain: offers them, and what is known beside them.
 */
void upstream_survey_offer(struct upstream *server);

/* They may be others than at the last survey. */
void upstream_survey_wish(struct upstream *server);

/* Whether the lists being drained of [server], which may be a session opened for them, are those of
 * a survey. */
bool upstream_survey_asks(const struct upstream *server);

/* What is declared in the ask under way. */
void upstream_survey_write(const struct upstream *server, struct mn_writer *writer);

/* They are complete; or could not be had. */
void upstream_survey_on_lists(struct upstream *server);
void upstream_survey_lost(struct upstream *server, const char *why);

/* The session with the server ends; [is_break]: by itself. */
void upstream_survey_end(struct upstream *server, bool is_break);

/* The same, because people want it to begin anew. */
void upstream_survey_reset(struct upstream *server);

void upstream_survey_on_timer(struct upstream *server);
void upstream_survey_on_hold(struct upstream *server);

/* Whether clients that declare such a thing of an extension are others than those that do not to
 * this server: it shows them other lists, or declares the same extension. */
bool upstream_survey_minds(const struct upstream *server, const struct json *declared);

/* A session that was opened for lists goes; the server goes. */
void upstream_survey_probe_done(struct upstream *probe);
void upstream_survey_done(struct upstream *server);

/* The tool of that name, whoever it is shown to; NULL: none. */
const struct upstream_tool *upstream_survey_tool(const struct upstream *server,
                                                 struct mn_span name);

#endif
