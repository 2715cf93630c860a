/* loglevel.h: the levels of MCP log messages, which are those of syslog (RFC 5424). */
#ifndef LOGLEVEL_H
#define LOGLEVEL_H

#include "proto/base/bytes.h"

/* In order of urgency. */
enum loglevel {
    LOGLEVEL_NONE = 0, /* no level at all */
    LOGLEVEL_DEBUG,
    LOGLEVEL_INFO,
    LOGLEVEL_NOTICE,
    LOGLEVEL_WARNING,
    LOGLEVEL_ERROR,
    LOGLEVEL_CRITICAL,
    LOGLEVEL_ALERT,
    LOGLEVEL_EMERGENCY
};

/* NONE for everything that is no level. */
enum loglevel loglevel_parse(struct mn_span text);

/* "debug" and so on; "" for NONE. */
const char *loglevel_name(enum loglevel level);

#endif
