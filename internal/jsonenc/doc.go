// Package jsonenc writes msgpack values as JSON text, in one pass and by
// appending to a buffer of the caller: plain, or already escaped to stand
// inside of a JSON string, as CloudWatch Logs wants its messages. It allocates
// nothing but room in that buffer.
//
// Every value has a JSON text, save for broken msgpack (ErrBroken) and more
// than 128 containers inside each other (ErrTooDeep):
//
//	nil, false, true   null, false, true
//	int, uint          all digits, over the full range of 64 bits
//	float 64           the shortest number that reads back the same, written as
//	                   encoding/json does: with an exponent below 1e-6 and from
//	                   1e21 on (1e-7, 1e+21)
//	float 32           the same with float 32's precision: 0.1, not
//	                   0.10000000149011612
//	NaN, infinities    null: JSON has no text for them
//	str                a string. Escaped are \" \\ \n \r \t \b \f and other
//	                   control characters as \u001b. Not escaped are < > & / DEL,
//	                   U+2028, U+2029 and all else that is not ASCII. Each byte
//	                   that is not part of valid UTF-8 becomes U+FFFD
//	bin                like str: Fluent Bit's inputs put text there, too
//	array              an array
//	map                an object. The order of its keys is kept, and duplicate
//	                   keys are all written
//	ext of type 0 and  Fluent Bit's time: seconds with nine decimals,
//	8 bytes            1700000000.000000001. With a billion nanoseconds or more
//	                   it is an ext like others
//	other ext          {"type":5,"data":"AQI="}, data in base64
//	keys               str and bin as above. Other values become a string that
//	                   holds their JSON text: "5", "null", "true", "1.5",
//	                   "{\"a\":1}". To keep such keys within such keys from
//	                   growing, each one counts as 32 containers
package jsonenc
