use super::*;

#[test]
fn commands_are_as_the_manual_has_them() {
    // Intel SDM volume 3, section 11.6.1: delivery modes 0, 4, 5 and 6, assert.
    assert_eq!(Command::Interrupt(0x41).bits(), 0x4041);
    assert_eq!(Command::NonMaskable.bits(), 0x4400);
    assert_eq!(Command::Init.bits(), 0x4500);
    assert_eq!(Command::Start(0x9).bits(), 0x4609);
}

#[test]
fn the_newer_form_writes_a_command_at_once_and_the_older_one_in_halves() {
    let start = Command::Start(8).bits();
    assert_eq!(command(0x1_0203, start), 0x0001_0203_0000_4608);
    assert_eq!(command_halves(3, start), (0x0300_0000, 0x4608));
    // Section 11.12.1.2: the command register is one of 64 bits, at 830h.
    assert_eq!(model_specific(0x300), 0x830);
    assert_eq!((model_specific(0x20), model_specific(0xb0)), (0x802, 0x80b));
    assert_eq!((model_specific(0x320), model_specific(0x3e0)), (0x832, 0x83e));
    assert_eq!(address(0xfee0_0900), 0xfee0_0000);
}

#[test]
fn ids_have_as_many_bits_as_the_form() {
    assert_eq!((id(0x0300_0000, false), id(0x300, true)), (3, 0x300));
    for (id, older, newer) in
        [(0, true, true), (254, true, true), (255, false, true), (256, false, true)]
    {
        assert_eq!((reaches(id, false), reaches(id, true)), (older, newer), "{id}");
    }
    assert!(!reaches(u32::MAX, true), "everybody is nobody in particular");
}

#[test]
fn messages_reach_255_cores_and_more_where_a_hypervisor_takes_them() {
    assert_eq!(message_address(3, false), Some(0xfee0_3000));
    assert_eq!(message_address(254, false), Some(0xfeef_e000));
    assert_eq!((message_address(255, false), message_address(256, false)), (None, None));
    // Bits 14 to 8 of the id are bits 11 to 5 of the address.
    assert_eq!(message_address(0x102, true), Some(0xfee0_2020));
    assert_eq!(message_address(0x7fff, true), Some(0xfeef_ffe0));
    assert_eq!(message_address(0x8000, true), None);
}
