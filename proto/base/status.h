/* status.h: the one list of results. Enum, names and texts come from it, so they cannot drift. */
#ifndef MN_STATUS_H
#define MN_STATUS_H

#define MN_MUST_USE __attribute__((warn_unused_result))

#define MN_STATUS_LIST(X)                                              \
    X(OK, 0, "ok")                                                     \
    X(FULL, -1, "a bounded queue or table is full")                    \
    X(CONFIG, -2, "a configuration value is outside its stated range") \
    X(MALFORMED, -3, "bytes do not decode")                            \
    X(TOO_BIG, -4, "a size, count or depth is over its limit")         \
    X(BAD_SIGNATURE, -5, "a signature does not verify")                \
    X(NOT_FOUND, -6, "there is no such thing")                         \
    X(EXISTS, -7, "it exists already")                                 \
    X(EXPIRED, -8, "it is past its time")                              \
    X(NOT_YET, -9, "its time has not come yet")                        \
    X(WRONG_MESH, -10, "it belongs to another mesh")                   \
    X(DENIED, -11, "not allowed")                                      \
    X(IO, -12, "the operating system or a library reported an error")  \
    X(BUSY, -13, "busy, try again later")                              \
    X(UNSUPPORTED, -14, "not supported")                               \
    X(CRYPTO, -15, "decryption or key agreement failed")               \
    X(STATE, -16, "not possible in this state")                        \
    X(UNKNOWN_ISSUER, -17, "signed by a key that is not an issuer")    \
    X(REVOKED, -18, "revoked")                                         \
    X(TIMEOUT, -19, "took too long")                                   \
    X(CLOSED, -20, "closed by the other side")                         \
    X(UNREACHABLE, -21, "nothing could be sent there")

typedef enum mn_status {
#define X(name, value, text) MN_##name = (value),
    MN_STATUS_LIST(X)
#undef X
} mn_status;

/* Never NULL; "unknown status" for a value outside the list. */
const char *mn_status_name(mn_status status);
const char *mn_status_text(mn_status status);

#endif
