/* An image C H W to a map H W C. */
INLINE void read_image(const uint8_t *image, number *to, int pixels, int channels)
{
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < channels; c++)
            to[i * channels + c] = (number)image[c * pixels + i];
}
