/* Process the channels from o on that do not fill a vector. Vectors overlap where that is faster: some channels are
   then computed twice. */
#if LANES == 1
#define LAST_BLOCKS(o, channels)
#elif LANES == 2
#define LAST_BLOCKS(o, channels)                                                                                       \
    if (channels > o)                                                                                                  \
        BLOCK(o, 1);
#else
#define LAST_BLOCKS(o, channels)                                                                                       \
    if (channels - o > 8 && channels >= LANES)                                                                         \
        BLOCK(channels - LANES, LANES);                                                                                \
    else {                                                                                                             \
        if (LANES > 8 && channels - o >= 8) {                                                                          \
            BLOCK(o, 8);                                                                                               \
            o += 8;                                                                                                    \
        }                                                                                                              \
        if (LANES >= 8 && channels - o > 4 && channels >= 8) {                                                         \
            BLOCK(channels - 8, 8);                                                                                    \
            o = channels;                                                                                              \
        }                                                                                                              \
        if (LANES > 4 && channels - o >= 4) {                                                                          \
            BLOCK(o, 4);                                                                                               \
            o += 4;                                                                                                    \
        }                                                                                                              \
        if (channels > o && channels >= 4)                                                                             \
            BLOCK(channels - 4, 4);                                                                                    \
        else if (channels > o)                                                                                         \
            BLOCK(o, channels - o);                                                                                    \
    }
#endif
