package records

import "encoding/binary"

// A request in CBOR (RFC 8949) as the AWS SDK for Java writes it: its maps and
// lists have no length in front but a mark at their end.
const (
	mapCBOR   = "\xbf"
	listCBOR  = "\x9f"
	breakCBOR = "\xff"
	endCBOR   = breakCBOR + breakCBOR // of the list of records, and of the request
)

// The first bytes of values of known length.
// https://www.rfc-editor.org/rfc/rfc8949#section-3.1
const (
	bytesCBOR = 2 << 5
	textCBOR  = 3 << 5
)

// HeadCBOR returns the CBOR of a request for records, with one other member, up
// to and with what opens their list.
func HeadCBOR(name, value string) []byte {
	head := []byte(mapCBOR)
	for _, text := range []string{name, value, "Records"} {
		head = append(appendLength(head, textCBOR, len(text)), text...)
	}
	return append(head, listCBOR...)
}

// appendCBOR appends a record as CBOR.
func appendCBOR(dst, data, key []byte) []byte {
	dst = append(dst, mapCBOR+"\x64Data"...)
	dst = append(appendLength(dst, bytesCBOR, len(data)), data...)
	if key != nil {
		dst = append(dst, "\x6cPartitionKey"...)
		dst = append(appendLength(dst, textCBOR, len(key)), key...)
	}
	return append(dst, breakCBOR...)
}

// appendLength appends the first bytes of a value: its type, and its length in
// as few bytes as it takes.
func appendLength(dst []byte, major byte, n int) []byte {
	switch {
	case n < 24:
		return append(dst, major|byte(n))
	case n < 1<<8:
		return append(dst, major|24, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, major|25), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, major|26), uint32(n))
}
