/* Convert an image C H W to a feature map H W C. */
INLINE void read_image(const uint8_t *image, element *to, int pixels, int channels)
{
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < channels; c++)
            to[i * channels + c] = (element)image[c * pixels + i];
}
