// What SHIPPING.md's Kotlin takes from Android: declared, so that a compiler can check the types.
package android.content

abstract class Context
