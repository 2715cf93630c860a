/* aside.h: which notifications of a legacy server are for its client and of no call. What has a way
 * of its own through the mesh is none of them: it says something of a call, of a list, of a
 * resource or of a task. */
#ifndef ASIDE_H
#define ASIDE_H

#include <stdbool.h>

#include "proto/base/bytes.h"

#define ASIDE_METHOD_MAX 128        /* bytes */
#define ASIDE_PARAMS_MAX 65536      /* bytes of JSON; what is longer is dropped */
#define ASIDE_URIS_MAX 256          /* subscriptions of one client in its own session */
#define ASIDE_URIS_SIZE_MAX 0x10000 /* bytes of their URIs */
#define ASIDE_LOG "notifications/message"
#define ASIDE_ELICITED "notifications/elicitation/complete"
#define ASIDE_UPDATED "notifications/resources/updated" /* of one in that session */
#define ASIDE_ANSWER "meshnode#answer" /* to a question outside of calls; no client can say it */

/* Also whether it is the name of a method at all, which needs no escapes in JSON. */
bool aside_is_carried(struct mn_span method);

#endif
