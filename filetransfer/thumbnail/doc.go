// Package thumbnail makes small pictures of images that are sent (XEP-0264), and makes those that come fit to be shown. They
// travel as bits of binary (XEP-0231), for which the codec is here, too.
//
// PNG, JPEG and GIF are known, by the decoders of the standard library. Sizes are looked at before anything is decoded, and
// what a peer says of them is not believed (XEP-0264 section 5).
package thumbnail
