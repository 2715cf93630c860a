/* extension.h: methods of extensions, which are between a client and its server alone. */
#ifndef EXTENSION_H
#define EXTENSION_H

#include <stdbool.h>

#include "proto/base/bytes.h"

/* A name that may be carried to a server and that no revision of the protocol has for itself: not
 * of a group of its methods, and of letters, digits and "_-./:" alone, because it goes into a
 * header. */
bool extension_is_method(struct mn_span name);

#endif
