/* result.h: the members that revisions of MCP give the results of initialize, server/discover and
 * the list methods. A node writes those itself; all others are its servers' own. */
#ifndef RESULT_H
#define RESULT_H

#include <stdbool.h>

#include "proto/base/bytes.h"

bool result_is_known(struct mn_span member);

#endif
