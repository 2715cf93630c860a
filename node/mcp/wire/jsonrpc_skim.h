/* jsonrpc_skim.h: what can be told of a message that is beyond the limits of json_parse(). */
#ifndef JSONRPC_SKIM_H
#define JSONRPC_SKIM_H

#include "proto/base/bytes.h"

/* The id, verbatim, of the request that [text] answers, wherever it stands in it. Empty: it has
 * none, or has a method, and so answers nothing. Nothing is judged: of what is no JSON, anything
 * may come out. */
struct mn_span jsonrpc_skim_answered(struct mn_span text);

#endif
